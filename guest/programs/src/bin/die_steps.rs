//! Does what its arguments say, one step after the other, and says what came of each: the tests choose with them at which
//! primitive a process holds, waits, or ends, and how.
//!
//! A step is `VERB:NAME` or `VERB:NAME:MORE`. After each one the line `STEP=ANSWER` is printed; the answer is `ok`, what the
//! call gave, or the word of the error with what belongs to it in brackets, such as `lost(expired)`. An error is no reason to
//! stop. Nothing is released at the end: what a process still holds then, the host has to take away.
//!
//! | step | what |
//! |---|---|
//! | `lock:M`, `unlock:M`, `consistent:M`, `held:M` | a mutex; `lock:M:MS` waits so long |
//! | `rlock:R`, `runlock:R`, `rconsistent:R` | an rlock |
//! | `read:W`, `write:W`, `upgrade:W`, `unread:W`, `unwrite:W`, `wconsistent:W` | a rwlock |
//! | `take:S:N`, `give:S:N` | permits; `take:S:N:MS` waits so long |
//! | `multi:A,B`, `unmulti:A,B` | mutexes or rlocks as one lock |
//! | `begin:O`, `complete:O`, `giveup:O` | a once |
//! | `wait:C:M`, `rwait:C:R`, `notify:C:N` | a condition, with the hold of its lock; `wait:C:M:MS` waits so long |
//! | `set:E`, `await:E` | an event; `await:E:MS` waits so long |
//! | `meet:B` | a barrier |
//! | `count:L`, `latch:L` | a latch, counted down and waited for |
//! | `put:Q:TEXT`, `get:Q`, `done:Q`, `join:Q`, `close:Q` | a queue; `get:Q:MS` waits so long |
//! | `append:F:LOCK` | a record, with the fence that the last acquisition of the lock gave |
//! | `change:V` | adds 1 to a value of signed numbers |
//! | `nap:MS`, `compute:MS` | sleeps, or does not, for so long |
//! | `trap`, `memory`, `spin`, `fail` | an end |

use std::collections::HashMap;
use std::hint::{black_box, spin_loop};
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use lockkeeper_guest::{
    Acquired, AppendFile, Barrier, Condition, ConditionGuard, Error, Event, Fence, Latch, MultiLock, MultiLockGuard,
    Mutex, MutexGuard, Once, Part, Previous, Queue, RLock, RLockGuard, RwLock, RwLockReadGuard, RwLockWriteGuard,
    Semaphore, Turn, Value,
};
use lockkeeper_guest_programs::trap;

fn main() -> ExitCode {
    let mut stage = Stage::default();
    for step in std::env::args().skip(1) {
        let parts: Vec<&str> = step.split(':').collect();
        let answer = match parts[..] {
            ["trap"] => trap(),
            ["memory"] => take_memory(),
            ["spin"] => loop {
                spin_loop();
            },
            ["fail"] => return ExitCode::FAILURE,
            _ => stage.step(&parts).unwrap_or_else(|error| words(&error)),
        };
        println!("{step}={answer}");
        io::stdout().flush().expect("the host takes every line");
    }
    // No destructor may do what the host has to.
    std::mem::forget(stage);
    ExitCode::SUCCESS
}

/// What this process has open and holds, by the names of the job.
#[derive(Default)]
struct Stage {
    mutexes: HashMap<String, Kept<Mutex, MutexGuard<'static>>>,
    rlocks: HashMap<String, Kept<RLock, RLockGuard<'static>>>,
    rwlocks: HashMap<String, &'static RwLock>,
    reads: HashMap<String, RwLockReadGuard<'static>>,
    writes: HashMap<String, RwLockWriteGuard<'static>>,
    multis: HashMap<String, MultiLockGuard<'static>>,
    turns: HashMap<String, Turn<'static>>,
    items: HashMap<String, Vec<u64>>,
    fences: HashMap<String, Fence>,
}

/// A lock that stays open, and its holds, one within the other.
struct Kept<L: 'static, G> {
    lock: &'static L,
    guards: Vec<G>,
}

impl<L, G> Kept<L, G> {
    fn open(lock: L) -> Self {
        Self { lock: keep(lock), guards: Vec::new() }
    }
}

type Answer = Result<String, Error>;

impl Stage {
    fn step(&mut self, step: &[&str]) -> Answer {
        let (verb, name) = (step[0], step.get(1).copied().unwrap_or_default());
        let more = step.get(2).copied();
        match verb {
            "lock" | "unlock" | "consistent" | "held" => self.mutex(verb, name, more),
            "rlock" | "runlock" | "rconsistent" => self.rlock(verb, name),
            "read" | "write" | "upgrade" | "unread" | "unwrite" | "wconsistent" => self.rwlock(verb, name),
            "take" | "give" => permits(verb, name, number(more), step.get(3).copied()),
            "multi" | "unmulti" => self.multi(verb, name),
            "begin" | "complete" | "giveup" => self.once(verb, name),
            "wait" | "rwait" => self.wait(verb, name, more.expect("a lock"), step.get(3).copied()),
            "notify" => Ok(Condition::open(name)?.notify(number(more))?.to_string()),
            "set" => {
                Event::open(name)?.set();
                ok()
            }
            "await" => match more {
                None => done(Event::open(name)?.wait()),
                Some(_) => Ok(Event::open(name)?.wait_timeout(millis(more))?.to_string()),
            },
            "meet" => Ok(Barrier::open(name)?.wait()?.to_string()),
            "count" => Ok(Latch::open(name)?.count_down(1)?.to_string()),
            "latch" => done(Latch::open(name)?.wait()),
            "put" | "get" | "done" | "join" | "close" => self.queue(verb, name, more),
            "append" => {
                let fence = self.fences[more.expect("a lock")];
                done(AppendFile::open(name)?.append(&fence, "late").map(drop))
            }
            "change" => done(Value::<i64>::open(name)?.add(1).map(drop)),
            "nap" => {
                std::thread::sleep(millis(Some(name)));
                ok()
            }
            "compute" => {
                let until = Instant::now() + millis(Some(name));
                while Instant::now() < until {
                    spin_loop();
                }
                ok()
            }
            _ => panic!("there is no step `{verb}`"),
        }
    }

    fn mutex(&mut self, verb: &str, name: &str, timeout: Option<&str>) -> Answer {
        if !self.mutexes.contains_key(name) {
            self.mutexes.insert(name.to_owned(), Kept::open(Mutex::open(name)?));
        }
        let Kept { lock, guards } = self.mutexes.get_mut(name).expect("it is there");
        match verb {
            "lock" => {
                let guard = if timeout.is_some() { lock.lock_timeout(millis(timeout))? } else { lock.lock()? };
                self.fences.insert(name.to_owned(), guard.fence());
                let previous = guard.previous();
                forget_all(guards);
                guards.push(guard);
                Ok(left(previous))
            }
            "unlock" => done(guards.pop().map_or_else(|| lock.release(), MutexGuard::unlock)),
            "consistent" => done(lock.mark_consistent()),
            _ => Ok(lock.held().is_some().to_string()),
        }
    }

    fn rlock(&mut self, verb: &str, name: &str) -> Answer {
        if !self.rlocks.contains_key(name) {
            self.rlocks.insert(name.to_owned(), Kept::open(RLock::open(name)?));
        }
        let Kept { lock, guards } = self.rlocks.get_mut(name).expect("it is there");
        match verb {
            "rlock" => {
                let guard = lock.lock()?;
                let previous = guard.previous();
                if self.fences.insert(name.to_owned(), guard.fence()) != Some(guard.fence()) {
                    forget_all(guards);
                }
                guards.push(guard);
                Ok(left(previous))
            }
            "runlock" => done(guards.pop().map_or_else(|| lock.release(), RLockGuard::unlock)),
            _ => done(lock.mark_consistent()),
        }
    }

    fn rwlock(&mut self, verb: &str, name: &str) -> Answer {
        if !self.rwlocks.contains_key(name) {
            self.rwlocks.insert(name.to_owned(), keep(RwLock::open(name)?));
        }
        let lock = self.rwlocks[name];
        match verb {
            "read" => {
                let guard = lock.read()?;
                let previous = guard.previous();
                self.fences.insert(name.to_owned(), guard.fence());
                std::mem::forget(self.reads.insert(name.to_owned(), guard));
                Ok(left(previous))
            }
            "write" => {
                let guard = lock.write()?;
                Ok(self.writes(name, guard))
            }
            "upgrade" => match self.reads.remove(name).expect("it reads").upgrade() {
                Ok(guard) => Ok(self.writes(name, guard)),
                Err((guard, error)) => {
                    std::mem::forget(self.reads.insert(name.to_owned(), guard));
                    Err(error)
                }
            },
            "unread" => done(self.reads.remove(name).map_or_else(|| lock.release(), RwLockReadGuard::unlock)),
            "unwrite" => done(self.writes.remove(name).map_or_else(|| lock.release(), RwLockWriteGuard::unlock)),
            _ => done(lock.mark_consistent()),
        }
    }

    fn writes(&mut self, name: &str, guard: RwLockWriteGuard<'static>) -> String {
        let previous = guard.previous();
        self.fences.insert(name.to_owned(), guard.fence());
        std::mem::forget(self.writes.insert(name.to_owned(), guard));
        left(previous)
    }

    fn multi(&mut self, verb: &str, names: &str) -> Answer {
        if verb == "unmulti" {
            return done(self.multis.remove(names).expect("it was acquired").unlock());
        }
        let lock = keep(MultiLock::open(names.split(',').map(Part::mutex))?);
        let guard = lock.lock()?;
        let previous: Vec<String> = guard.holds().iter().map(|Acquired { previous, .. }| left(*previous)).collect();
        std::mem::forget(self.multis.insert(names.to_owned(), guard));
        Ok(previous.join(" "))
    }

    fn once(&mut self, verb: &str, name: &str) -> Answer {
        match verb {
            "begin" => {
                let Some(turn) = keep(Once::open(name)?).begin()? else { return Ok("done".to_owned()) };
                let previous = turn.previous();
                std::mem::forget(self.turns.insert(name.to_owned(), turn));
                Ok(left(previous))
            }
            "complete" => done(self.turns.remove(name).expect("it has the turn").complete()),
            _ => done(self.turns.remove(name).expect("it has the turn").give_up()),
        }
    }

    fn wait(&mut self, verb: &str, name: &str, lock: &str, timeout: Option<&str>) -> Answer {
        let condition = Condition::open(name)?;
        let (notified, fence, previous) = if verb == "wait" {
            let guards = &mut self.mutexes.get_mut(lock).expect("it is held").guards;
            let (guard, notified) = wait(&condition, guards.pop().expect("it is held"), timeout)?;
            let hold = (notified, guard.fence(), guard.previous());
            guards.push(guard);
            hold
        } else {
            let guards = &mut self.rlocks.get_mut(lock).expect("it is held").guards;
            let (guard, notified) = wait(&condition, guards.pop().expect("it is held"), timeout)?;
            let hold = (notified, guard.fence(), guard.previous());
            guards.push(guard);
            hold
        };
        self.fences.insert(lock.to_owned(), fence);
        Ok(format!("{} {}", if notified { "notified" } else { "late" }, left(previous)))
    }

    fn queue(&mut self, verb: &str, name: &str, more: Option<&str>) -> Answer {
        let queue = Queue::open(name)?;
        match verb {
            "put" => done(queue.put(more.unwrap_or_default()).map(drop)),
            "get" => {
                let item = if more.is_some() { queue.get_timeout(millis(more))? } else { queue.get()? };
                self.items.entry(name.to_owned()).or_default().push(item.number);
                Ok(format!("{} returned {}", String::from_utf8_lossy(&item.bytes), item.returned))
            }
            "done" => {
                let number = self.items.get_mut(name).and_then(Vec::pop).expect("it got an item");
                done(queue.task_done(number))
            }
            "join" => done(queue.join()),
            _ => {
                queue.close();
                ok()
            }
        }
    }
}

fn wait<G: ConditionGuard>(condition: &Condition, guard: G, timeout: Option<&str>) -> Result<(G, bool), Error> {
    if timeout.is_some() { condition.wait_timeout(guard, millis(timeout)) } else { Ok((condition.wait(guard)?, true)) }
}

fn permits(verb: &str, name: &str, count: u32, timeout: Option<&str>) -> Answer {
    let semaphore = Semaphore::open(name)?;
    if verb == "give" {
        return done(semaphore.release(count));
    }
    let taken =
        if timeout.is_some() { semaphore.acquire_timeout(count, millis(timeout)) } else { semaphore.acquire(count) };
    taken?.forget();
    ok()
}

/// Keeps a handle to the end of the process, so that its guard can be kept.
fn keep<T>(handle: T) -> &'static T {
    Box::leak(Box::new(handle))
}

/// The guards of a hold that is gone must not release the one that follows.
fn forget_all<G>(guards: &mut Vec<G>) {
    guards.drain(..).for_each(std::mem::forget);
}

fn ok() -> Answer {
    Ok("ok".to_owned())
}

fn done(answer: Result<(), Error>) -> Answer {
    answer.and_then(|()| ok())
}

fn left(previous: Previous) -> String {
    match previous {
        Previous::Clean => "clean".to_owned(),
        Previous::Abandoned(last) => format!("abandoned({} {})", last.how, last.who),
    }
}

fn words(error: &Error) -> String {
    let word = error.word();
    match error {
        Error::Lost(how) => format!("{word}({how})"),
        Error::Broken(cause) => format!("{word}({cause})"),
        Error::Limit(kind) => format!("{word}({kind})"),
        Error::LockRequired(lock) => format!("{word}({lock})"),
        Error::Deadlock(circle) => {
            let links = circle.iter().map(|link| {
                let (holds, waits_for) = (&link.holds, &link.waits_for);
                format!("{} has {holds} {} wants {waits_for} {}", link.name, link.held_as, link.asks_as)
            });
            format!("{word}({})", links.collect::<Vec<_>>().join(", "))
        }
        _ => word.to_owned(),
    }
}

fn number(text: Option<&str>) -> u32 {
    text.expect("a number").parse().expect("a number")
}

fn millis(text: Option<&str>) -> Duration {
    Duration::from_millis(number(text).into())
}

fn take_memory() -> ! {
    let mut taken = Vec::new();
    loop {
        // Not zero, or the pages would not be touched.
        taken.push(black_box(vec![1_u8; 1 << 20]));
    }
}
