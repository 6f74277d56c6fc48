//! Group commit, one sync held up at a time.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use lockkeeper_journal::storage::Disk;
use lockkeeper_journal::{AppendFile, AppendOptions, Appended, FormatKind, LatchCause, SyncError, Syncing, unguarded};
use rustix::io::Errno;

use crate::double::{Fault, Kind, Machine};
use crate::script::{Flavour, OUT, machine};

const LINES: Flavour = Flavour { format: FormatKind::Lines, ids: false };

/// Counts how often it was woken.
#[derive(Default)]
struct Bell {
    rung: Mutex<usize>,
    news: Condvar,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        *self.rung.lock().expect("no ringer panics") += 1;
        self.news.notify_all();
    }
}

impl Bell {
    fn wait_for(&self, times: usize) {
        let rung = self.rung.lock().expect("no ringer panics");
        let waited = self.news.wait_timeout_while(rung, Duration::from_secs(60), |rung| *rung < times);
        assert!(!waited.expect("no ringer panics").1.timed_out(), "nobody was woken");
    }
}

fn poll(syncing: &mut Syncing, bell: &Arc<Bell>) -> Poll<Result<u64, SyncError>> {
    Pin::new(syncing).poll(&mut Context::from_waker(&Waker::from(bell.clone())))
}

/// A file that has synced before, so that what follows is syncs of the data alone.
fn opened() -> (Machine, AppendFile) {
    let machine = machine();
    let disk: Arc<dyn Disk> = Arc::new(machine.host());
    let (file, _) = AppendFile::open_on(&disk, &LINES.spec()).expect("it can be opened");
    file.append(b"first", unguarded).expect("it can be appended to");
    file.sync().wait().expect("it can be synced");
    (machine, file)
}

fn syncs(machine: &Machine) -> usize {
    machine.log().iter().filter(|it| it.kind == Kind::Sync && it.path.ends_with(OUT)).count()
}

#[test]
fn those_who_wait_while_a_sync_runs_share_the_next_one() {
    let (machine, file) = opened();
    let before = syncs(&machine);
    let gate = machine.gate(Kind::Sync);
    let bell = Arc::new(Bell::default());
    let appended = file.append(b"leader", unguarded).expect("it can be appended to");
    let mut leader = file.synced(&appended);
    assert!(poll(&mut leader, &bell).is_pending());
    gate.wait_for(1);
    let mut followers = Vec::new();
    for n in 0..20 {
        let appended = file.append(format!("follower {n}").as_bytes(), unguarded).expect("a sync holds nobody up");
        let mut follower = file.synced(&appended);
        assert!(poll(&mut follower, &bell).is_pending());
        followers.push(follower);
    }
    gate.pass(1);
    assert_eq!(leader.wait().expect("it is synced"), appended.end());
    // The second sync stands at the gate, and the first did not cover what came after it had begun.
    assert_eq!(machine.read_synced(OUT).map(|content| content.len() as u64), Some(appended.end()));
    for follower in &mut followers {
        assert!(poll(follower, &bell).is_pending());
    }
    gate.pass(1);
    for follower in followers {
        follower.wait().expect("it is synced");
    }
    assert_eq!(machine.read_synced(OUT), machine.read(OUT));
    assert_eq!(syncs(&machine) - before, 2);
}

#[test]
fn a_wait_that_is_given_up_loses_nothing_and_holds_nobody_up() {
    let (machine, file) = opened();
    let gate = machine.gate(Kind::Sync);
    let bell = Arc::new(Bell::default());
    let appended = file.append(b"given up", unguarded).expect("it can be appended to");
    let mut given_up = file.synced(&appended);
    assert!(poll(&mut given_up, &bell).is_pending());
    gate.wait_for(1);
    let appended = file.append(b"waits", unguarded).expect("it can be appended to");
    let (mut waits, mut also_given_up) = (file.synced(&appended), file.sync());
    assert!(poll(&mut waits, &bell).is_pending() && poll(&mut also_given_up, &bell).is_pending());
    drop((given_up, also_given_up));
    gate.pass(2);
    bell.wait_for(1);
    waits.wait().expect("it is synced");
    assert_eq!(machine.read_synced(OUT), machine.read(OUT));
    assert_eq!(*bell.rung.lock().expect("no ringer panics"), 1, "only who still waits is woken");
}

#[test]
fn a_sync_that_fails_wakes_everybody_with_the_reason_and_nobody_is_told_it_worked() {
    let (machine, file) = opened();
    let gate = machine.gate(Kind::Sync);
    machine.inject(Fault::fail(Errno::IO).on(&[Kind::Sync]).of("/out"));
    let bell = Arc::new(Bell::default());
    let mut waiting = Vec::new();
    for n in 0..10 {
        let appended = file.append(format!("record {n}").as_bytes(), unguarded).expect("it can be appended to");
        let mut waits = file.synced(&appended);
        assert!(poll(&mut waits, &bell).is_pending());
        waiting.push(waits);
        gate.wait_for(1);
    }
    gate.pass(10);
    bell.wait_for(10);
    for waits in waiting {
        let error = waits.wait().expect_err("the sync failed");
        assert!(matches!(error, SyncError::Latched { cause: LatchCause::SyncFailed(_), .. }), "{error}");
    }
    let before = syncs(&machine);
    file.sync().wait().expect_err("a failed sync is never tried again");
    assert!(matches!(file.latched(), Some(LatchCause::SyncFailed(_))));
    drop(gate);
    drop(file);
    assert_eq!(syncs(&machine), before);
}

#[test]
fn what_is_synced_already_is_answered_at_once() {
    let (machine, file) = opened();
    let before = machine.operations();
    assert_eq!(file.sync().wait().expect("it is synced"), 6);
    assert_eq!(machine.operations(), before);
}

/// The end of a record of another file lay behind the end of this one. No sync came that far, so the thread of this file
/// synced again and again, without end.
#[test]
fn a_wait_for_a_record_of_another_file_ends_with_what_is_in_this_one() {
    let (machine, file) = opened();
    let here = file.append(b"second", unguarded).expect("it can be appended to");
    let elsewhere = Appended { offset: 1 << 40, ..here };
    let before = syncs(&machine);
    assert_eq!(file.synced(&elsewhere).wait().expect("the disk is healthy"), here.end());
    assert_eq!(syncs(&machine), before + 1);
    let later = file.append(b"third", unguarded).expect("it can be appended to");
    assert_eq!(file.synced(&later).wait().expect("the disk is healthy"), later.end());
    assert_eq!(syncs(&machine), before + 2);
}

/// Nobody came to write the buffer then, but the next append.
#[test]
fn what_is_committed_by_the_thread_of_the_file_does_not_stay_in_memory() {
    let (machine, file) = opened();
    let options = AppendOptions { buffered: true, ..AppendOptions::default() };
    let record = file.encode(b"second").expect("it is a record");
    let mut committing = pin!(file.commit_elsewhere(record, options, unguarded));
    let bell = Arc::new(Bell::default());
    let waker = Waker::from(bell.clone());
    let appended = loop {
        match committing.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(done) => break done.expect("it can be appended to"),
            Poll::Pending => bell.wait_for(1),
        }
    };
    assert!(!appended.buffered);
    assert_eq!(machine.read(OUT).as_deref(), Some(&b"first\nsecond\n"[..]));
}
