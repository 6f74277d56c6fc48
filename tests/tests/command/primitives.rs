//! Every kind of lock and value, declared by flags and by a manifest, is what the guests then find.

use lockkeeper_guest_programs::sync::{CASES, Case, Initial, Kind, Thing};

use crate::support::{Place, guest};

/// Cases that need no script, and between them every kind and every key of a manifest that a guest can notice.
const DECLARED: &[(&str, &str)] = &[
    ("sync_lock", "test_acquire_release"),
    ("sync_lock", "test_recursion_count"),
    ("sync_rwlock", "misuse_is_refused"),
    ("sync_semaphore", "test_release_unacquired@bounded"),
    ("sync_semaphore", "test_release_unacquired@owned"),
    ("sync_semaphore", "test_timeout@mp"),
    ("sync_condition", "mutex_will_do"),
    ("sync_event", "test_is_set"),
    ("sync_barrier", "test_wait_return"),
    ("sync_latch", "counts_down_to_zero_and_no_further"),
    ("sync_once", "one_does_it_for_all"),
    ("sync_queue", "test_put"),
    ("sync_queue", "task_done_too_often@acknowledge"),
    ("sync_queue", "item_that_can_never_fit_is_refused"),
    ("sync_value", "test_value"),
    ("sync_value", "what_does_not_fit_is_refused"),
    ("sync_value", "test_array_from_size"),
    ("sync_value", "test_rawarray"),
    ("sync_value", "test_getobj_getlock"),
    ("sync_value", "test_getobj_getlock_obj"),
];

pub(crate) fn case(program: &str, name: &str) -> &'static Case {
    let is = |case: &&Case| case.program == program && case.name == name;
    CASES.iter().find(is).unwrap_or_else(|| panic!("there is no case {program} {name}"))
}

/// The job of a case as a manifest.
pub(crate) fn manifest(case: &Case) -> String {
    let mut text = "version = 1\n".to_owned();
    let (mut locks, mut values) = (Vec::new(), Vec::new());
    for (name, thing) in case.things {
        let requires =
            |lock: &Option<&str>| lock.map_or_else(String::new, |lock| format!("requires-lock = {lock:?}\n"));
        let lines = match thing {
            Thing::Value { initial, lock } => requires(lock) + &initial_lines(initial),
            Thing::Array { kind, length, lock } => {
                requires(lock) + &format!("type = {:?}\nlength = {length}\n", word(*kind))
            }
            lock => lock_lines(lock),
        };
        let table = if matches!(thing, Thing::Value { .. } | Thing::Array { .. }) {
            values.push(*name);
            "value"
        } else {
            locks.push(*name);
            "lock"
        };
        text += &format!("[{table}.{name}]\n{lines}");
    }
    text + &format!(
        "[[process]]\nname = \"case\"\nprogram = {:?}\ncount = {}\nargs = [{:?}]\n\
         grants = {{ lock = {locks:?}, value = {values:?} }}\n",
        guest(case.program),
        case.processes,
        case.name
    )
}

fn initial_lines(initial: &Initial) -> String {
    match initial {
        Initial::I64(number) => format!("initial = {number}\n"),
        Initial::U64(number) => format!("type = \"u64\"\ninitial = {number}\n"),
        Initial::F64(number) => format!("type = \"f64\"\ninitial = {number:?}\n"),
        Initial::Bytes { initial, maximum } => {
            let text = std::str::from_utf8(initial).expect("the cases start with text");
            format!("type = \"bytes\"\ninitial = {text:?}\nmax-bytes = \"{maximum}B\"\n")
        }
    }
}

fn lock_lines(thing: &Thing) -> String {
    match thing {
        Thing::Mutex => String::new(),
        Thing::RLock => "kind = \"rlock\"\n".to_owned(),
        Thing::RwLock => "kind = \"rwlock\"\n".to_owned(),
        Thing::Once => "kind = \"once\"\n".to_owned(),
        Thing::Event => "kind = \"event\"\n".to_owned(),
        Thing::Condition { lock } => format!("kind = \"condition\"\nlock = {lock:?}\n"),
        Thing::Latch { count } => format!("kind = \"latch\"\ncount = {count}\n"),
        Thing::Barrier { parties, registered } => {
            let are = if *registered { "registered" } else { "waiting" };
            format!("kind = \"barrier\"\nparties = {parties}\nparties-are = \"{are}\"\n")
        }
        Thing::Semaphore { initial, owned: true, .. } => format!("kind = \"semaphore\"\npermits = {initial}\n"),
        Thing::Semaphore { initial, maximum, owned: false } => {
            let maximum = maximum.map_or_else(String::new, |maximum| format!("maximum = {maximum}\n"));
            format!("kind = \"semaphore\"\npermits = {initial}\npermits-are = \"signal\"\n{maximum}")
        }
        Thing::Queue { items, bytes, acknowledge } => {
            format!("kind = \"queue\"\nitems = {items}\nbytes = \"{bytes}B\"\nacknowledge = {acknowledge}\n")
        }
        Thing::Value { .. } | Thing::Array { .. } => unreachable!("these are no locks"),
    }
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::I64 => "i64",
        Kind::U64 => "u64",
        Kind::F64 => "f64",
        Kind::Bytes => "bytes",
    }
}

/// The job of a case as flags; none if it has something that only a manifest can say.
pub(crate) fn flags(case: &Case) -> Option<Vec<String>> {
    let mut flags = Vec::new();
    for (name, thing) in case.things {
        let (flag, text) = match thing {
            Thing::Mutex => ("--lock", (*name).to_owned()),
            Thing::RLock => ("--lock", format!("{name}:rlock")),
            Thing::RwLock => ("--lock", format!("{name}:rwlock")),
            Thing::Once => ("--lock", format!("{name}:once")),
            Thing::Event => ("--lock", format!("{name}:event")),
            Thing::Condition { lock } => ("--lock", format!("{name}:condition:{lock}")),
            Thing::Latch { count } => ("--lock", format!("{name}:latch:{count}")),
            Thing::Barrier { parties, registered: false } => ("--lock", format!("{name}:barrier:{parties}")),
            Thing::Semaphore { initial, owned: true, .. } => ("--lock", format!("{name}:semaphore:{initial}")),
            Thing::Semaphore { initial, maximum: None, owned: false } => ("--lock", format!("{name}:signal:{initial}")),
            Thing::Queue { items, acknowledge: false, .. } => ("--lock", format!("{name}:queue:{items}")),
            Thing::Value { initial: Initial::I64(0), lock: None } => ("--value", (*name).to_owned()),
            Thing::Value { initial: Initial::I64(number), lock: None } => ("--value", format!("{name}={number}")),
            Thing::Value { initial: Initial::U64(number), lock: None } => ("--value", format!("{name}:u64={number}")),
            Thing::Value { initial: Initial::F64(number), lock: None } => ("--value", format!("{name}:f64={number}")),
            Thing::Array { kind, length, lock: None } => ("--value", format!("{name}:{}:{length}", word(*kind))),
            _ => return None,
        };
        flags.extend([flag.to_owned(), text]);
    }
    Some(flags)
}

#[test]
fn what_a_manifest_declares_is_what_the_guests_find() {
    let place = Place::new();
    for (program, name) in DECLARED {
        let case = case(program, name);
        assert!(case.script.is_empty(), "{program} {name} needs somebody outside");
        let ended = place.run_manifest(&manifest(case));
        assert_eq!(ended.code, 0, "{program} {name}:\n{}\n{ended}", manifest(case));
    }
}

#[test]
fn what_flags_declare_is_what_the_guests_find() {
    let place = Place::new();
    let mut said = String::new();
    for (program, name) in DECLARED {
        let case = case(program, name);
        // A queue of a certain number of bytes is a matter of the manifest.
        let Some(flags) = flags(case).filter(|_| *name != "item_that_can_never_fit_is_refused") else { continue };
        said += &flags.join(" ");
        let (count, guest) = (case.processes.to_string(), guest(program));
        let mut args = vec!["run", "-n", &count];
        args.extend(flags.iter().map(String::as_str));
        args.extend([guest.as_str(), "--", name]);
        let ended = place.run(&args);
        assert_eq!(ended.code, 0, "{args:?}:\n{ended}");
    }
    for kind in ["rlock", "rwlock", "semaphore", "signal", "once", "condition", "event", "barrier", "latch", "queue"] {
        assert!(said.contains(&format!(":{kind}")), "no case has a {kind} that flags can say");
    }
}

#[test]
fn limits_of_locks_can_be_set_by_flags_and_by_a_manifest() {
    let place = Place::new();
    let several = guest("lock_several");
    let one = place.run(&["run", "--lock", "a", "--lock", "b", "--max-holds", "1", &several, "--", "a", "b"]);
    one.assert_code(0);
    assert_eq!(one.out(), "a=ok\nb=limit(holds)\nend\n");

    let ended = place.run_manifest(&format!(
        "version = 1\n[limits]\nholds = 1\nwaiters = 10\n[lock.a]\n[lock.b]\n\
         [[process]]\nname = \"several\"\nprogram = {several:?}\nargs = [\"a\", \"b\"]\ngrants = {{ lock = [\"a\", \"b\"] }}\n"
    ));
    ended.assert_code(0);
    assert_eq!(ended.out(), "a=ok\nb=limit(holds)\nend\n");
}

#[test]
fn what_is_said_of_all_locks_goes_to_those_that_it_can_be_said_of() {
    let place = Place::new();
    let said = ["--fair", "strict", "--after-death", "ignore", "--max-hold", "1h", "--placement", "spread"];
    let locks = ["--lock", "e:event", "--lock", "a", "--lock", "s:signal:0"];
    place.run(&[&["run", "-n", "2"], &said[..], &locks, &[&guest("lock_next"), "--", "a"]].concat()).assert_code(0);
}

/// The rows of an input are held back; this says how many bytes of them.
#[test]
fn map_holds_back_no_more_than_it_may() {
    let place = Place::new();
    place.write("a.txt", "x\nxx\nxxx\n");
    let map = |max: &str| {
        let count = guest("map_count");
        let columns = "results=input,line,bytes";
        place.run(&["map", &count, "--append", "results=o.csv", "--header", columns, "--max-held-back", max, "a.txt"])
    };
    map("20B").assert_code(1);
    assert_eq!(place.read("o.csv"), "input,line,bytes\n");
    map("1KiB").assert_code(0);
    assert_eq!(place.read("o.csv").lines().count(), 4);
}
