//! What a process does with others that it starts, a case at a time. Arguments: CASE, or `child`, ROLE and what the role
//! needs. Whatever is not as it should be ends the process with a message.
//!
//! The cases that are called as one of CPython's tests of `multiprocessing.Process` do what that one does.

use std::error::Error as AnyError;
use std::hint::spin_loop;
use std::process::ExitCode;
use std::time::Duration;

use lockkeeper_guest::object::{self, Room};
use lockkeeper_guest::process::{self, Command, Grants, Outcome};
use lockkeeper_guest::{
    Array, Barrier, Condition, Error, Event, Latch, LimitKind, Mutex, Object, Once, Previous, Queue, RLock, RwLock,
    Semaphore, Value,
};
use lockkeeper_guest_programs::trap;

type Result<T = ()> = std::result::Result<T, Box<dyn AnyError>>;

const SOON: Duration = Duration::from_millis(20);

fn main() -> Result<ExitCode> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words[..] {
        ["child", role, ..] => return child(role, &words[2..]),
        ["test_current"] => test_current(),
        ["test_args_argument"] => test_args_argument()?,
        ["test_parent_process_attributes"] => test_parent_process_attributes()?,
        ["test_process"] => test_process()?,
        ["test_terminate"] => test_terminate()?,
        ["terminate_ends_whoever_does_not_listen"] => terminate_ends_whoever_does_not_listen()?,
        ["test_kill"] => test_kill()?,
        ["test_active_children"] => test_active_children()?,
        ["test_recursion"] => test_recursion()?,
        ["test_sentinel"] => test_sentinel()?,
        ["test_close"] => test_close()?,
        ["test_many_processes"] => test_many_processes()?,
        ["test_sys_exit"] => test_sys_exit()?,
        ["limits_are_narrowed"] => limits_are_narrowed()?,
        ["grants_are_narrowed"] => grants_are_narrowed()?,
        ["objects_of_every_kind"] => objects_of_every_kind()?,
        ["objects_are_rights"] => objects_are_rights()?,
        ["objects_have_a_budget"] => objects_have_a_budget()?,
        ["what_is_held_may_be_given_up"] => what_is_held_may_be_given_up()?,
        ["joining_who_waits_for_us"] => joining_who_waits_for_us()?,
        ["holds_end_before_the_end_is_seen"] => holds_end_before_the_end_is_seen()?,
        ["children_have_a_quota"] => children_have_a_quota()?,
        ["generations_have_a_quota"] => generations_have_a_quota()?,
        ["wrong_requests"] => wrong_requests()?,
        ["leaves_a_child", policy] => leaves_a_child(policy)?,
        ["bombs"] => bombs()?,
        _ => return Err(format!("there is no case {words:?}").into()),
    }
    Ok(ExitCode::SUCCESS)
}

/// A child of this program in a role.
fn in_role(role: &str) -> Command {
    Command::own().arg("child").arg(role)
}

fn child(role: &str, words: &[&str]) -> Result<ExitCode> {
    match role {
        "returns" => {}
        "fails" => return Ok(ExitCode::FAILURE),
        "traps" => trap(),
        "spins" => loop {
            spin_loop();
        },
        "grows" => {
            let mut all = Vec::new();
            loop {
                all.push(vec![1_u8; 1 << 20]);
            }
        }
        "echoes" => {
            let queue = Queue::open(words[0])?;
            queue.put(words[1..].join(" ").as_bytes())?;
            queue.put(process::start_data())?;
            queue.put(std::env::var("SEEN").unwrap_or_default().as_bytes())?;
        }
        "says_who" => {
            let me = process::current();
            let parent = me.parent.ok_or("a child has a parent")?;
            Queue::open(words[0])?.put(format!("{} {} {}", me.id, parent, me.name).as_bytes())?;
        }
        // Ends well if it is told `cancelled`.
        "waits" => {
            Latch::open(words[0])?.count_down(1)?;
            return match Event::open(words[1])?.wait() {
                Err(Error::Cancelled) => match Event::open(words[1])?.wait() {
                    Err(Error::Cancelled) => Ok(ExitCode::SUCCESS),
                    other => Err(format!("the next wait is cancelled too: {other:?}").into()),
                },
                Ok(()) => Ok(ExitCode::FAILURE),
                Err(error) => Err(error.into()),
            };
        }
        "branches" => {
            let depth: u32 = words[1].parse()?;
            let queue = Queue::open(words[0])?;
            queue.put(depth.to_string().as_bytes())?;
            if depth > 0 {
                let below = (depth - 1).to_string();
                for _ in 0..2 {
                    let child = in_role("branches").arg(words[0]).arg(&below).give_id(words[0]).spawn()?;
                    assert_eq!(child.join()?, Outcome::Exited(0));
                }
            }
        }
        "deepens" => {
            let queue = Queue::open(words[0])?;
            match in_role("deepens").arg(words[0]).give_id(words[0]).spawn() {
                Ok(child) => assert_eq!(child.join()?, Outcome::Exited(0)),
                Err(Error::Limit(LimitKind::Depth)) => drop(queue.put(b"too deep")?),
                Err(error) => return Err(error.into()),
            }
            queue.put(b"one more")?;
        }
        "opens" => {
            for (word, expected) in words.iter().zip(words.iter().skip(1)).step_by(2) {
                let (kind, name) = word.split_once(':').ok_or("KIND:NAME")?;
                let opened = match kind {
                    "mutex" => Mutex::open(name).map(drop),
                    "value" => Value::<i64>::open(name).map(drop),
                    "dir" => std::fs::read_dir(name).map(drop).map_err(|_| Error::Denied),
                    "self" => Command::own().arg("child").arg("returns").spawn().map(drop),
                    other => return Err(format!("no kind {other}").into()),
                };
                let is = match opened {
                    Ok(()) => "yes",
                    Err(Error::Denied) => "no",
                    Err(error) => return Err(error.into()),
                };
                assert_eq!(is, *expected, "{word}");
            }
        }
        "uses_all" => uses_all(words)?,
        "dies_holding" => {
            let lock = Mutex::open(words[0])?;
            std::mem::forget(lock.lock()?);
            trap();
        }
        "locks" => {
            Latch::open(words[1])?.count_down(1)?;
            let lock = Mutex::open(words[0])?;
            match lock.lock() {
                Ok(_) | Err(Error::Deadlock(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        "outlives" => {
            Event::open("started")?.set();
            Event::open("go")?.wait()?;
            Event::open("done")?.set();
        }
        "gives_up" => gives_up()?,
        "bombs" => bombs()?,
        other => return Err(format!("there is no role {other}").into()),
    }
    Ok(ExitCode::SUCCESS)
}

fn queue() -> Result<(Object, Queue)> {
    let object = object::queue(Room::default())?;
    let queue = Queue::open(object.id())?;
    Ok((object, queue))
}

fn next(queue: &Queue) -> Result<String> {
    Ok(String::from_utf8(queue.get()?.bytes)?)
}

fn test_current() {
    let me = process::current();
    assert_eq!((me.parent, me.name.as_str()), (None, "process_cases"));
    assert!(process::children().is_empty() && process::start_data().is_empty());
}

fn test_args_argument() -> Result {
    let (object, queue) = queue()?;
    for (args, expected) in [(&[][..], ""), (&["one"], "one"), (&["one", "", "zwei \u{e9}"], "one  zwei \u{e9}")] {
        let child = in_role("echoes").arg(object.id()).args(args.iter().copied()).give(&object);
        let child = child.start_data(&[0, 255, 10]).env([("SEEN", "yes")]).spawn()?;
        assert_eq!(next(&queue)?, expected);
        assert_eq!(queue.get()?.bytes, [0, 255, 10]);
        assert_eq!(next(&queue)?, "yes");
        assert_eq!(child.join()?, Outcome::Exited(0));
    }
    Ok(())
}

fn test_parent_process_attributes() -> Result {
    let (object, queue) = queue()?;
    let child = in_role("says_who").arg(object.id()).give(&object).name("a-child").spawn()?;
    assert_eq!(next(&queue)?, format!("{} {} a-child", child.pid(), process::current().id));
    assert_eq!(child.join()?, Outcome::Exited(0));
    Ok(())
}

fn test_process() -> Result {
    // It says three things, and there is room for one: so it is there until it is listened to.
    let object = object::queue(Room { items: 1, ..Room::default() })?;
    let queue = Queue::open(object.id())?;
    let child = in_role("echoes").arg(object.id()).arg("hello").give(&object).spawn()?;
    assert_eq!(process::children(), [child.pid()]);
    assert_eq!([next(&queue)?, next(&queue)?, next(&queue)?], ["hello", "", ""]);
    assert_eq!(child.join()?, Outcome::Exited(0));
    assert_eq!((child.try_join(), child.join()?), (Some(Outcome::Exited(0)), Outcome::Exited(0)));
    assert!(process::children().is_empty());
    Ok(())
}

/// A child that waits for `go` and has said so.
fn waiting(go: &Object) -> Result<process::Child> {
    let here = object::latch(1)?;
    let child = in_role("waits").arg(here.id()).arg(go.id()).give(&here).give(go).spawn()?;
    Latch::open(here.id())?.wait()?;
    Ok(child)
}

fn test_terminate() -> Result {
    let go = object::event()?;
    let child = waiting(&go)?;
    assert_eq!(child.join_timeout(Duration::ZERO)?, None);
    child.terminate();
    assert_eq!(child.join()?, Outcome::Exited(0), "it was told, and ended by itself");
    Ok(())
}

fn terminate_ends_whoever_does_not_listen() -> Result {
    let child = in_role("spins").spawn()?;
    child.terminate_within(SOON);
    assert_eq!(child.join()?, Outcome::Killed);
    // A longer grace afterwards changes nothing, and a shorter one does.
    let child = in_role("spins").spawn()?;
    child.terminate_within(Duration::from_secs(3600));
    child.terminate_within(SOON);
    child.terminate_within(Duration::from_secs(3600));
    assert_eq!(child.join()?, Outcome::Killed);
    Ok(())
}

fn test_kill() -> Result {
    let go = object::event()?;
    for child in [waiting(&go)?, in_role("spins").spawn()?] {
        child.kill();
        assert_eq!(child.join()?, Outcome::Killed);
        child.kill();
        assert_eq!(child.outcome()?, Outcome::Killed);
    }
    Ok(())
}

fn test_active_children() -> Result {
    let go = object::event()?;
    let children = [waiting(&go)?, waiting(&go)?];
    assert_eq!(process::children(), [children[0].pid(), children[1].pid()]);
    children[0].kill();
    children[0].join()?;
    assert_eq!(process::children(), [children[1].pid()]);
    Event::open(go.id())?.set();
    assert_eq!(children[1].join()?, Outcome::Exited(1));
    assert!(process::children().is_empty());
    Ok(())
}

fn test_recursion() -> Result {
    let (object, queue) = queue()?;
    let child = in_role("branches").arg(object.id()).arg("3").give(&object).spawn()?;
    assert_eq!(child.join()?, Outcome::Exited(0));
    let mut seen = Vec::new();
    while let Some(item) = queue.try_get()? {
        seen.push(String::from_utf8(item.bytes)?);
    }
    // Each one comes before those below it, and the two below it one after the other.
    assert_eq!(seen.concat(), "321001002100100");
    Ok(())
}

fn test_sentinel() -> Result {
    let go = object::event()?;
    let child = waiting(&go)?;
    assert_eq!(child.join_timeout(SOON)?, None);
    Event::open(go.id())?.set();
    assert_eq!(child.join_timeout(Duration::from_secs(600))?, Some(Outcome::Exited(1)));
    Ok(())
}

fn test_close() -> Result {
    let go = object::event()?;
    let child = waiting(&go)?;
    assert!(matches!(child.outcome(), Err(Error::StillRunning)));
    let pid = child.pid();
    // A handle that is gone ends nothing.
    drop(child);
    assert_eq!(process::children(), [pid]);
    Event::open(go.id())?.set();
    Ok(())
}

fn test_many_processes() -> Result {
    let children = (0..8).map(|_| in_role("returns").spawn()).collect::<std::result::Result<Vec<_>, _>>()?;
    for child in &children {
        assert_eq!(child.join()?, Outcome::Exited(0));
    }
    let children = (0..8).map(|_| in_role("spins").spawn()).collect::<std::result::Result<Vec<_>, _>>()?;
    children.iter().for_each(|child| child.terminate_within(SOON));
    for child in &children {
        assert_eq!(child.join()?, Outcome::Killed);
    }
    Ok(())
}

fn test_sys_exit() -> Result {
    assert_eq!(in_role("fails").spawn()?.join()?, Outcome::Exited(1));
    assert_eq!(in_role("no such role").spawn()?.join()?, Outcome::Exited(1));
    assert!(matches!(in_role("traps").spawn()?.join()?, Outcome::Trapped(why) if why.contains("unreachable")));
    Ok(())
}

fn limits_are_narrowed() -> Result {
    assert_eq!(in_role("spins").timeout(SOON).spawn()?.join()?, Outcome::Limit(LimitKind::Time));
    assert_eq!(in_role("grows").memory_bytes(8 << 20).spawn()?.join()?, Outcome::Limit(LimitKind::Memory));
    // More than this process has is not to be had: the test gives it 64 MiB.
    assert_eq!(in_role("grows").memory_bytes(u64::MAX).spawn()?.join()?, Outcome::Limit(LimitKind::Memory));
    Ok(())
}

/// The job has the mutexes `a` and `b`, the value `v` and the directory `/data`.
fn grants_are_narrowed() -> Result {
    let all = ["mutex:a", "yes", "mutex:b", "yes", "value:v", "yes", "dir:/data", "yes", "self", "yes"];
    let checks = |words: &[&str]| {
        let words = words.iter().map(|word| if *word == "self" { "self:" } else { *word });
        in_role("opens").args(words)
    };
    assert_eq!(checks(&all).spawn()?.join()?, Outcome::Exited(0));
    let few = ["mutex:a", "yes", "mutex:b", "no", "value:v", "no", "dir:/data", "no", "self", "no"];
    let only_a = Grants { locks: vec!["a".to_owned()], ..Grants::default() };
    assert_eq!(checks(&few).grants(only_a).spawn()?.join()?, Outcome::Exited(0));
    for wider in [
        Grants { locks: vec!["c".to_owned()], ..Grants::default() },
        Grants { values: vec!["a".to_owned()], ..Grants::default() },
        Grants { files: vec!["a".to_owned()], ..Grants::default() },
        Grants { dirs: vec!["/etc".to_owned()], ..Grants::default() },
        Grants { programs: vec!["other".to_owned()], ..Grants::default() },
    ] {
        let refused = in_role("returns").grants(wider.clone()).spawn();
        assert!(matches!(refused, Err(Error::Denied)), "{wider:?}");
    }
    Ok(())
}

fn objects_of_every_kind() -> Result {
    let mutex = object::mutex()?;
    let all = [
        object::condition(mutex.id())?,
        object::rlock()?,
        object::rwlock()?,
        object::owned_semaphore(1)?,
        object::signal_semaphore(0, Some(1))?,
        object::once()?,
        object::event()?,
        object::barrier(2)?,
        object::latch(1)?,
        object::queue(Room { unfinished: Some(1), ..Room::default() })?,
        object::value(40_i64)?,
        object::bytes(b"from the parent", 100)?,
        object::array::<f64>(3)?,
        mutex,
    ];
    let ids: Vec<&str> = all.iter().map(Object::id).collect();
    let child = all.iter().fold(in_role("uses_all").args(ids.iter().copied()), Command::give).spawn()?;
    let [condition, rlock, rwlock, owned, signal, once, event, barrier, latch, queue, value, bytes, array, mutex] =
        ids[..]
    else {
        return Err("they are 14".into());
    };
    let lock = Mutex::open(mutex)?;
    let mut guard = lock.lock()?;
    Event::open(event)?.set();
    let condition = Condition::open(condition)?;
    while Value::<i64>::open(value)?.get() < 42 {
        guard = condition.wait(guard)?;
    }
    guard.unlock()?;
    Barrier::open(barrier)?.wait()?;
    Latch::open(latch)?.wait()?;
    std::mem::forget(Semaphore::open(signal)?.acquire(1)?);
    let queue = Queue::open(queue)?;
    let item = queue.get()?;
    assert_eq!(item.bytes, b"from the child");
    queue.task_done(item.number)?;
    assert_eq!(child.join()?, Outcome::Exited(0));
    assert_eq!(Value::<Vec<u8>>::open(bytes)?.get(), b"from the child");
    assert_eq!(
        [0, 1, 2].map(|index| Array::<f64>::open(array).and_then(|array| array.get(index)).ok()),
        [0.0, 1.5, 0.0].map(Some)
    );
    assert!(Once::open(once)?.begin()?.is_none(), "it is done");
    drop(RLock::open(rlock)?.try_lock()?.ok_or("its owner has ended")?);
    drop(RwLock::open(rwlock)?.try_write()?.ok_or("its owner has ended")?);
    drop(Semaphore::open(owned)?.try_acquire(1)?.ok_or("its permits came back")?);
    Ok(())
}

fn uses_all(ids: &[&str]) -> Result {
    let [condition, rlock, rwlock, owned, signal, once, event, barrier, latch, queue, value, bytes, array, mutex] =
        *ids
    else {
        return Err("they are 14".into());
    };
    Event::open(event)?.wait()?;
    {
        let lock = Mutex::open(mutex)?;
        let guard = lock.lock()?;
        Value::<i64>::open(value)?.add(2)?;
        Condition::open(condition)?.notify_all()?;
        guard.unlock()?;
    }
    Barrier::open(barrier)?.wait()?;
    Latch::open(latch)?.count_down(1)?;
    Semaphore::open(signal)?.release(1)?;
    assert!(matches!(Semaphore::open(signal)?.release(1), Ok(()) | Err(Error::OverRelease)));
    Queue::open(queue)?.put(b"from the child")?;
    Value::<Vec<u8>>::open(bytes)?.set(b"from the child".to_vec())?;
    Array::<f64>::open(array)?.set(1, 1.5)?;
    let once = Once::open(once)?;
    once.begin()?.ok_or("nobody has done it")?.complete()?;
    // What it still holds at its end comes free by that.
    std::mem::forget(RLock::open(rlock)?.lock()?);
    std::mem::forget(RwLock::open(rwlock)?.read()?);
    std::mem::forget(Semaphore::open(owned)?.acquire(1)?);
    Ok(())
}

fn objects_are_rights() -> Result {
    let object = object::mutex()?;
    let check = |answer: &str, command: Command| -> Result {
        let asks = command.arg(format!("mutex:{}", object.id())).arg(answer);
        assert_eq!(asks.spawn()?.join()?, Outcome::Exited(0));
        Ok(())
    };
    check("no", in_role("opens"))?;
    check("yes", in_role("opens").give(&object))?;
    // An id is no other kind of thing, and no number that comes to one's mind.
    assert!(matches!(Event::open(object.id()), Err(Error::Denied)));
    assert!(matches!(Value::<i64>::open(object.id()), Err(Error::Denied)));
    for wrong in ["#", "#-1", "#1x", "#99999999999999999999999"] {
        assert!(matches!(Mutex::open(wrong), Err(Error::InvalidName(_))), "{wrong}");
    }
    assert!(matches!(Mutex::open("#4711"), Err(Error::Denied)));
    assert!(matches!(in_role("returns").give_id("#4711").spawn(), Err(Error::Denied)));
    assert!(matches!(object::condition("#4711"), Err(Error::Denied)));
    // What is given up is gone for this process, and a handle that is open stays.
    let id = object.id().to_owned();
    let open = Mutex::open(&id)?;
    drop(object);
    assert!(matches!(Mutex::open(&id), Err(Error::Denied)));
    drop(open.lock()?);
    Ok(())
}

/// The job allows 20 objects, and 1 MiB.
fn objects_have_a_budget() -> Result {
    for _ in 0..3 {
        let all = (0..20).map(|_| object::event()).collect::<std::result::Result<Vec<_>, _>>()?;
        assert!(matches!(object::mutex(), Err(Error::Limit(LimitKind::Objects))));
        drop(all);
        let most = object::array::<f64>(100_000)?;
        assert!(matches!(object::array::<f64>(100_000), Err(Error::Limit(LimitKind::ObjectBytes))));
        assert!(matches!(object::array::<f64>(u32::MAX), Err(Error::Limit(LimitKind::ObjectBytes))));
        assert!(matches!(object::queue(Room::default()), Err(Error::Limit(LimitKind::ObjectBytes))));
        drop(most);
        drop(object::bytes(b"", 1 << 20)?);
    }
    for _ in 0..1_000 {
        drop(object::mutex()?);
    }
    for wrong in [object::barrier(0), object::signal_semaphore(2, Some(1)), object::bytes(b"abc", 2)] {
        assert!(matches!(wrong, Err(Error::InvalidArgument(_) | Error::OutOfRange)), "{wrong:?}");
    }
    Ok(())
}

/// A hold that nobody can name any more ends with its process, and its place is free again.
fn what_is_held_may_be_given_up() -> Result {
    for _ in 0..3 {
        assert_eq!(in_role("gives_up").spawn()?.join()?, Outcome::Exited(0));
        for _ in 0..10 {
            let object = object::mutex()?;
            let lock = Mutex::open(object.id())?;
            drop(lock.lock()?);
        }
    }
    gives_up()
}

/// Gives up what it holds, and what it acquires only then.
fn gives_up() -> Result {
    let object = object::mutex()?;
    let lock = Mutex::open(object.id())?;
    std::mem::forget(lock.lock()?);
    drop(object);
    drop(lock);
    let object = object::rwlock()?;
    let lock = RwLock::open(object.id())?;
    drop(object);
    std::mem::forget(lock.read()?);
    drop(lock);
    let object = object::owned_semaphore(3)?;
    let semaphore = Semaphore::open(object.id())?;
    std::mem::forget(semaphore.acquire(2)?);
    drop(semaphore);
    drop(object);
    Ok(())
}

/// One of the two is told, whichever came second.
fn joining_who_waits_for_us() -> Result {
    let (mutex, here) = (object::mutex()?, object::latch(1)?);
    let lock = Mutex::open(mutex.id())?;
    let guard = lock.lock()?;
    let locks = in_role("locks").arg(mutex.id()).arg(here.id()).give(&mutex).give(&here);
    let child = locks.spawn()?;
    Latch::open(here.id())?.wait()?;
    match child.join() {
        Err(Error::Deadlock(circle)) => {
            assert_eq!(circle.len(), 2, "{circle:?}");
            guard.unlock()?;
            assert_eq!(child.join()?, Outcome::Exited(0));
        }
        // The child was told, and ended.
        Ok(outcome) => assert_eq!(outcome, Outcome::Exited(0)),
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

fn holds_end_before_the_end_is_seen() -> Result {
    for _ in 0..50 {
        let mutex = object::mutex()?;
        let child = in_role("dies_holding").arg(mutex.id()).give(&mutex).spawn()?;
        assert!(matches!(child.join()?, Outcome::Trapped(_)));
        let lock = Mutex::open(mutex.id())?;
        let guard = lock.try_lock()?.ok_or("it is free")?;
        assert!(matches!(guard.previous(), Previous::Abandoned(by) if by.who == child.pid()));
    }
    Ok(())
}

/// The test allows four.
fn children_have_a_quota() -> Result {
    let go = object::event()?;
    let children = (0..4).map(|_| waiting(&go)).collect::<Result<Vec<_>>>()?;
    assert!(matches!(in_role("returns").spawn(), Err(Error::Limit(LimitKind::Processes))));
    children[0].kill();
    children[0].join()?;
    assert_eq!(in_role("returns").spawn()?.join()?, Outcome::Exited(0));
    Ok(())
}

/// The test allows three generations.
fn generations_have_a_quota() -> Result {
    let (object, queue) = queue()?;
    let child = in_role("deepens").arg(object.id()).give(&object).spawn()?;
    assert_eq!(child.join()?, Outcome::Exited(0));
    let mut told = Vec::new();
    while let Some(item) = queue.try_get()? {
        told.push(String::from_utf8(item.bytes)?);
    }
    assert_eq!(told, ["too deep", "one more", "one more", "one more"]);
    Ok(())
}

fn wrong_requests() -> Result {
    assert!(matches!(Command::new("other").spawn(), Err(Error::Denied)));
    assert!(matches!(Command::new("../other").spawn(), Err(Error::Denied)));
    assert!(matches!(Command::new("no name").spawn(), Err(Error::InvalidName(_))));
    assert!(matches!(in_role("returns").name("two\nlines").spawn(), Err(Error::InvalidName(_))));
    for key in ["", "A=B"] {
        assert!(matches!(in_role("returns").env([(key, "x")]).spawn(), Err(Error::InvalidArgument(_))), "{key}");
    }
    Ok(())
}

fn leaves_a_child(policy: &str) -> Result {
    let child = in_role("outlives");
    let child = if policy == "adopt" { child.adopt() } else { child };
    let child = child.spawn()?;
    Event::open("started")?.wait()?;
    drop(child);
    Ok(())
}

/// As many as there may be, each of which does the same.
fn bombs() -> Result {
    let mut children = Vec::new();
    while let Ok(child) = in_role("bombs").spawn() {
        children.push(child);
    }
    for child in children {
        drop(child.join()?);
    }
    Ok(())
}
