//! `lockkeeper lock` beside flock(1), and what `lockkeeper locks` shows of both.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use lockkeeper::lock_file::Remote;
use lockkeeper::machine_lock::{Left, MachineLock, read_note};
use lockkeeper::os_lock::Mode;
use lockkeeper_tests::command;
use tempfile::TempDir;

struct Place {
    dir: TempDir,
    lock: PathBuf,
}

fn place() -> Place {
    let dir = tempfile::tempdir().expect("a directory");
    let lock = dir.path().join("x.lock");
    Place { dir, lock }
}

fn ours(args: &[&str]) -> Command {
    let mut lock = Command::new(command());
    lock.arg("lock").args(args).stdin(Stdio::null());
    lock
}

fn run(mut command: Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.output().expect("it starts");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (status.code(), text(stdout), text(stderr))
}

fn as_text(path: &Path) -> &str {
    path.to_str().expect("text")
}

/// A command that has the lock until its standard input is closed, or it is killed.
struct Holder(Child);

impl Holder {
    fn new(mut lock: Command) -> Self {
        lock.args(["sh", "-c", "echo in; cat >/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = lock.spawn().expect("it starts");
        let mut said = String::new();
        BufReader::new(child.stdout.as_mut().expect("it is a pipe")).read_line(&mut said).expect("it says something");
        assert_eq!(said, "in\n");
        Self(child)
    }

    fn end(mut self) {
        drop(self.0.stdin.take());
        assert!(self.0.wait().expect("it ends").success());
    }
}

#[test]
fn exit_codes_are_those_of_flock() {
    let Place { dir, lock } = place();
    let busy = dir.path().join("busy.lock");
    let held = File::create(&busy).expect("a file");
    held.lock().expect("nobody has it");
    let (free, busy, missing) = (as_text(&lock), as_text(&busy), "/nowhere/x.lock");
    let cases: &[&[&str]] = &[
        &[free, "true"],
        &[free, "sh", "-c", "exit 7"],
        &[free, "sh", "-c", "kill -9 $$"],
        &[free, "/nowhere/command"],
        &["-n", busy, "true"],
        &["-x", "-n", "-E", "9", busy, "true"],
        &["-s", "-n", busy, "true"],
        &["-w", "0.05", busy, "true"],
        &["-w", "0.05", "-E", "0", busy, "false"],
        &["-w", "0", "-E", "33", busy, "true"],
        &["-s", "-w", "5", free, "true"],
        &["-e", free, "sh", "-c", "exit 255"],
        &[missing, "true"],
        &["-w", "x", free, "true"],
        &["--nothing", free, "true"],
        &["-E", "256", free, "true"],
        &[],
    ];
    for args in cases {
        let mut flock = Command::new("flock");
        flock.args(*args).stdin(Stdio::null());
        let (theirs, ..) = run(flock);
        let (code, said, complained) = run(ours(args));
        assert_eq!(code, theirs, "{args:?}: {said}{complained}");
    }
    // Readers do not keep each other out.
    held.unlock().expect("it was locked");
    held.lock_shared().expect("nobody has it");
    assert_eq!(run(ours(&["-n", "-s", busy, "--", "true"])).0, Some(0));
    assert_eq!(run(ours(&["-n", "-x", busy, "--", "true"])).0, Some(1));
}

/// What becomes of the command does not hang on how it was started, nor on what it is.
#[test]
fn commands_are_run_as_flock_runs_them() {
    let Place { dir, lock } = place();
    let script = dir.path().join("script");
    fs::write(&script, "exit 5\n").expect("a file");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("it is ours");
    for locks in [format!("{} lock", command().display()), "flock".to_owned()] {
        // A script that says nothing of what runs it.
        let mut sh = Command::new("sh");
        sh.args(["-c", &format!("{locks} --nonblocking {} {}", lock.display(), script.display())]);
        assert_eq!(run(sh).0, Some(5), "{locks}");
        // It is looked for as any other, and nowhere else.
        let elsewhere = tempfile::tempdir().expect("a directory");
        fs::write(elsewhere.path().join("script"), "exit 8\n").expect("a file");
        let mut sh = Command::new("sh");
        sh.args(["-c", &format!("PATH={}:$PATH {locks} {} script", dir.path().display(), lock.display())]);
        assert_eq!(
            run({
                sh.current_dir(elsewhere.path());
                sh
            })
            .0,
            Some(5),
            "{locks}"
        );
        // Whoever has SIGCHLD ignored leaves it so to those it starts.
        let mut ignores = Command::new("env");
        ignores.args(["--ignore-signal=CHLD", "sh", "-c"]);
        ignores.arg(format!("exec {locks} {} sh -c 'exit 6'", lock.display()));
        assert_eq!(run(ignores).0, Some(6), "{locks}");
    }
}

#[test]
fn readers_that_begin_at_one_moment_do_not_refuse_each_other() {
    let Place { dir: _dir, lock } = place();
    let read = || {
        let mut reads = ours(&["-n", "-s", "--fence-env", "FENCE", as_text(&lock), "sleep", "0.05"]);
        reads.spawn().expect("it starts")
    };
    // The first fences are reserved on disk.
    let children: Vec<_> = (0..8).map(|_| read()).collect();
    let codes: Vec<_> = children.into_iter().map(|mut child| child.wait().expect("it ends").code()).collect();
    assert_eq!(codes, [Some(0); 8]);
}

/// What a process of the policy `poison` is refused for is not forgotten because some command ran meanwhile.
#[test]
fn what_nobody_has_mended_stays_so_until_it_is_said() {
    let Place { dir, lock } = place();
    let mut ours_before = MachineLock::open(&lock, Remote::Refused, "a test", 0).expect("it is made");
    let taken = ours_before.try_take(Mode::Exclusive).expect("it can be tried").expect("nobody has it");
    ours_before.let_go(taken.fences.start, Left::Ruined);
    let left = || read_note(&lock).expect("it is read").expect("it says something").left;
    let (code, _, complained) = run(ours(&[as_text(&lock), "true"]));
    assert!(code == Some(0) && complained.contains("--mark-consistent"), "{complained}");
    assert_eq!(left(), Left::Ruined);
    assert_eq!(run(ours(&["--mark-consistent", as_text(&lock), "false"])).0, Some(1));
    assert_eq!(left(), Left::Ruined);
    // Who reads mends nothing, and nothing is to be mended in a file that is no lock.
    assert_eq!(run(ours(&["--mark-consistent", "-s", as_text(&lock), "true"])).0, Some(64));
    let plain = dir.path().join("plain");
    assert_eq!(run(ours(&["--mark-consistent", as_text(&plain), "true"])).0, Some(65));
    assert_eq!(run(ours(&["--mark-consistent", as_text(&lock), "true"])), (Some(0), String::new(), String::new()));
    assert_eq!(left(), Left::Clean);
}

#[test]
fn every_holder_has_a_greater_fence_whatever_became_of_the_one_before() {
    let Place { dir: _dir, lock } = place();
    let fence = || {
        let (code, said, complained) =
            run(ours(&["--fence-env", "FENCE", as_text(&lock), "--", "sh", "-c", "echo $FENCE"]));
        assert_eq!(code, Some(0), "{complained}");
        said.trim().parse::<u64>().expect("a number")
    };
    let (first, second) = (fence(), fence());
    assert!(first < second);
    // From its first fence on it is a lock file for whoever locks it.
    let (code, ..) = run(ours(&[as_text(&lock), "sh", "-c", "kill -9 $$"]));
    assert_eq!(code, Some(137));
    let (_, _, complained) = run(ours(&["-v", as_text(&lock), "true"]));
    assert!(complained.contains("its last holder did not release it (killed)"), "{complained}");
    let (_, _, complained) = run(ours(&["-v", as_text(&lock), "true"]));
    assert!(!complained.contains("did not release"), "{complained}");
    assert!(fence() > second);
}

#[test]
fn what_a_command_writes_into_the_file_itself_stays_there() {
    let Place { dir: _dir, lock } = place();
    for script in ["echo one >> $0; echo two >> $0", "echo three >> $0"] {
        assert_eq!(run(ours(&[as_text(&lock), "sh", "-c", script, as_text(&lock)])).0, Some(0));
    }
    assert_eq!(fs::read_to_string(&lock).expect("it is there"), "one\ntwo\nthree\n");
    let (code, _, complained) = run(ours(&[as_text(&lock), "-c", "true"]));
    assert!(code == Some(64) && complained.contains("sh -c"), "{complained}");
}

#[test]
fn a_file_with_something_else_in_it_is_locked_and_left_as_it_is() {
    let Place { dir: _dir, lock } = place();
    fs::write(&lock, "precious\n").expect("a file");
    let holder = Holder::new(ours(&[as_text(&lock)]));
    assert_eq!(run(ours(&["-n", as_text(&lock), "true"])).0, Some(1));
    holder.end();
    let (code, _, complained) = run(ours(&["--fence-env", "F", as_text(&lock), "true"]));
    assert!(code == Some(65) && complained.contains("name a file of its own"), "{complained}");
    assert_eq!(fs::read_to_string(&lock).expect("it is there"), "precious\n");
}

#[test]
fn flock_and_ours_wait_for_each_other() {
    let Place { dir: _dir, lock } = place();
    let mut flock = Command::new("flock");
    flock.arg(&lock);
    let theirs = Holder::new(flock);
    let mut waits = ours(&["-v", as_text(&lock), "echo", "had"]);
    let mut waits = waits.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    // It says for whom it waits before it has it.
    let mut said = String::new();
    let mut complained = BufReader::new(waits.stderr.take().expect("it is a pipe"));
    complained.read_line(&mut said).expect("it says something");
    assert!(said.contains("x.lock is held by process ") && said.contains("flock"), "{said}");
    theirs.end();
    assert!(waits.wait().expect("it ends").success());
    let ours = Holder::new(ours(&[as_text(&lock)]));
    let mut flock = Command::new("flock");
    flock.arg("-n").arg(&lock).arg("true");
    assert_eq!(run(flock).0, Some(1));
    ours.end();
}

#[test]
fn the_lock_lasts_as_long_as_the_command_also_if_whoever_started_it_is_killed() {
    let Place { dir: _dir, lock } = place();
    let mut holder = Holder::new(ours(&["--fence-env", "FENCE", as_text(&lock)]));
    // Waiting closes what the command reads.
    let kept = holder.0.stdin.take();
    holder.0.kill().expect("it runs");
    assert_eq!(holder.0.wait().expect("it ends").signal(), Some(9));
    let (code, _, complained) = run(ours(&["-v", "-n", as_text(&lock), "true"]));
    assert!(code == Some(1) && complained.contains("is held by what process "), "{complained}");
    drop(kept);
    let (code, _, complained) = run(ours(&["-v", "-w", "60", as_text(&lock), "true"]));
    assert!(code == Some(0) && complained.contains("(host-died)"), "{complained}");
}

#[test]
fn what_a_command_leaves_behind_does_not_keep_the_lock() {
    let Place { dir: _dir, lock } = place();
    let mut leaves = ours(&[as_text(&lock), "sh", "-c", "cat >/dev/null & echo $!"]);
    let mut leaves = leaves.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
    let kept = leaves.stdin.take();
    assert!(leaves.wait().expect("it ends").success());
    assert_eq!(run(ours(&["-n", as_text(&lock), "true"])).0, Some(0));
    drop(kept);
}

#[test]
fn a_command_has_the_limits_of_whoever_has_started_it() {
    let Place { dir: _dir, lock } = place();
    let script = format!("ulimit -Sn 100 && {} lock {} sh -c 'ulimit -Sn'", command().display(), lock.display());
    let mut sh = Command::new("sh");
    sh.args(["-c", &script]);
    assert_eq!(run(sh).1, "100\n");
}

#[test]
fn the_list_shows_who_has_a_lock_who_waits_and_how_it_was_left() {
    let Place { dir, lock } = place();
    let other = dir.path().join("other.lock");
    fs::write(dir.path().join("notes.txt"), "no lock\n").expect("a file");
    let list = |args: &[&str]| {
        let mut locks = Command::new(command());
        locks.arg("locks").arg(dir.path()).args(args);
        let (code, said, complained) = run(locks);
        assert_eq!(code, Some(0), "{complained}");
        said
    };
    let json = || -> Vec<serde_json::Value> {
        list(&["--json"]).lines().map(|line| serde_json::from_str(line).expect("an object")).collect()
    };
    assert_eq!(list(&[]), "");
    assert_eq!(run(ours(&["--fence-env", "FENCE", as_text(&other), "sh", "-c", "kill -9 $$"])).0, Some(137));
    let holder = Holder::new(ours(&["--fence-env", "FENCE", as_text(&lock)]));
    let mut waits = ours(&["-v", as_text(&lock), "true"]);
    let mut waits = waits.stderr(Stdio::piped()).spawn().expect("it starts");
    let mut complained = BufReader::new(waits.stderr.take().expect("it is a pipe"));
    complained.read_line(&mut String::new()).expect("it says that it waits");
    let seen = json();
    assert_eq!((seen[0]["lock"].as_str(), seen[0]["state"].as_str()), (Some("other.lock"), Some("free")));
    assert_eq!(seen[0]["left"].as_str(), Some("killed"));
    assert_eq!(
        (seen[1]["state"].as_str(), seen[1]["holder"]["pid"].as_u64()),
        (Some("held"), Some(holder.0.id().into()))
    );
    assert_eq!(seen[1]["waiting"][0]["pid"].as_u64(), Some(waits.id().into()));
    let table = list(&[]);
    assert!(table.contains("waits: ") && table.contains(&format!("{} on ", holder.0.id())), "{table}");
    holder.end();
    assert!(waits.wait().expect("it ends").success());
    complained.read_to_string(&mut String::new()).expect("it ends");
    let holder = Holder::new(ours(&["-s", as_text(&lock)]));
    assert_eq!(json()[1]["state"].as_str(), Some("shared"));
    holder.end();
    assert_eq!(json()[1]["state"].as_str(), Some("free"));
    // flock(1) says nothing in the file, and is seen all the same.
    let mut flock = Command::new("flock");
    flock.arg(&lock);
    let holder = Holder::new(flock);
    let seen = json();
    assert_eq!((seen[1]["state"].as_str(), seen[1]["others"][0]["pid"].is_u64()), (Some("held"), true));
    assert!(
        seen[1]["holder"].is_null() && seen[1]["held_seconds"].is_null(),
        "who read it before is gone: {}",
        seen[1]
    );
    holder.end();
    let mut nowhere = Command::new(command());
    nowhere.args(["locks", "/nowhere"]);
    let (code, _, complained) = run(nowhere);
    assert!(code == Some(2) && complained.contains("the directory /nowhere cannot be read"), "{complained}");
}
