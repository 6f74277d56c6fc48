//! The locks of other libraries, as programs use them: each keeps owners out, and is kept out by them.

use std::any::Any;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use lockkeeper::LockError;
use lockkeeper_tests::{PATIENCE, environment, install};

use crate::support::{A_MOMENT, Place, job};

const FILELOCK: &str = "
import sys
from filelock import FileLock, Timeout
lock = FileLock(sys.argv[1])
try:
    lock.acquire(timeout=0)
    print('held', flush=True)
except Timeout:
    print('busy', flush=True)
sys.stdin.read()
";

const PORTALOCKER: &str = "
import sys, portalocker
try:
    lock = portalocker.Lock(sys.argv[1], timeout=0, fail_when_locked=True)
    lock.acquire()
    print('held', flush=True)
except portalocker.LockException:
    print('busy', flush=True)
sys.stdin.read()
";

/// What lets the lock go when it is dropped.
type Held = Box<dyn Any>;

/// Takes the lock file, if nobody has it.
type Take<'a> = Box<dyn Fn(&Path) -> Option<Held> + 'a>;

struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        // Its standard input ends, and then so does it.
        drop(self.0.stdin.take());
        drop(self.0.wait());
    }
}

fn open(path: &Path) -> File {
    File::options().read(true).write(true).open(path).expect("the lock file is there")
}

fn with_std(path: &Path) -> Option<Held> {
    let file = open(path);
    file.try_lock().ok()?;
    Some(Box::new(file))
}

fn with_fs2(path: &Path) -> Option<Held> {
    let file = open(path);
    fs2::FileExt::try_lock_exclusive(&file).ok()?;
    Some(Box::new(file))
}

fn with_python(python: &Path, script: &str, path: &Path) -> Option<Held> {
    let mut command = Command::new(python);
    command.args(["-c", script]).arg(path).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut program = Program(command.spawn().expect("it starts"));
    let mut line = String::new();
    BufReader::new(program.0.stdout.take().expect("it is piped")).read_line(&mut line).expect("it is text");
    match line.trim_end() {
        "held" => Some(Box::new(program)),
        "busy" => None,
        other => panic!("it says {other:?}"),
    }
}

#[test]
fn the_locks_of_std_fs2_filelock_and_portalocker_are_this_one() {
    let place = Place::new();
    let python = environment(&place.path(""));
    install(&python, &["filelock", "portalocker"]);
    let natives: [(&str, Take); 4] = [
        ("std", Box::new(with_std)),
        ("fs2", Box::new(with_fs2)),
        ("filelock", Box::new(|path| with_python(&python, FILELOCK, path))),
        ("portalocker", Box::new(|path| with_python(&python, PORTALOCKER, path))),
    ];
    let host = place.host();
    let job = job(&host);
    let mut owner = job.locks("owner");
    let file = place.lock_file("m");
    for (name, take) in natives {
        let hold = owner.acquire("m").blocking().expect("it is free");
        assert!(take(&file).is_none(), "{name} has it although an owner does");
        hold.release().expect("it is held");
        let begun = Instant::now();
        let held = loop {
            if let Some(held) = take(&file) {
                break held;
            }
            assert!(begun.elapsed() < PATIENCE, "{name} never gets it");
            thread::sleep(Duration::from_millis(1));
        };
        assert!(owner.acquire("m").now().expect("no refusal").is_none(), "{name} does not keep owners out");
        let waited = owner.acquire("m").within(A_MOMENT).blocking();
        assert!(matches!(waited, Err(LockError::TimedOut { .. })), "{name} does not keep owners out");
        drop(held);
        drop(owner.acquire("m").blocking().expect("it is free"));
    }
}
