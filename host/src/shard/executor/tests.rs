//! Tests of the executor with tasks that are driven one step at a time. No clock decides anything in them: where time is
//! needed, a task runs until it has passed.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

use super::*;
use crate::turn::CpuShare;

/// An executor, what its tasks did, and how often it asked to be polled again.
struct Bench {
    executor: Executor,
    inbox: Arc<Inbox>,
    log: Log,
    woken: Arc<Count>,
}

type Log = Rc<RefCell<Vec<&'static str>>>;

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Count {
    fn take(&self) -> usize {
        self.0.swap(0, Ordering::Relaxed)
    }
}

/// Lets a test have the waker of a task.
type Wakers = Rc<RefCell<Option<Waker>>>;

impl Bench {
    fn new(company: Company) -> Self {
        let inbox = Arc::new(Inbox::new());
        let executor = Executor::new(3, inbox.clone(), company);
        Self { executor, inbox, log: Log::default(), woken: Arc::default() }
    }

    /// A task that is ready, as if it had just been started.
    fn start(&mut self, future: impl Future<Output = ()> + 'static) {
        let place = self.executor.add(Box::pin(future));
        self.inbox.push(Level::High, Work::Poll(place));
    }

    /// A task that notes each of its polls and ends at the last one.
    fn start_polls(&mut self, name: &'static str, polls: usize) -> Wakers {
        let (log, wakers) = (self.log.clone(), Wakers::default());
        let given = wakers.clone();
        let mut polled = 0;
        self.start(poll_fn(move |cx| {
            log.borrow_mut().push(name);
            given.replace(Some(cx.waker().clone()));
            polled += 1;
            if polled == polls { Poll::Ready(()) } else { Poll::Pending }
        }));
        wakers
    }

    /// A task whose slice is over so many times.
    fn start_slices(&mut self, name: &'static str, slices: usize, hands: Hands) {
        let log = self.log.clone();
        self.start(async move {
            for _ in 0..slices {
                log.borrow_mut().push(name);
                use_slice(hands).await;
            }
            log.borrow_mut().push(name);
        });
    }

    fn poll(&mut self) -> Poll<()> {
        let waker = Waker::from(self.woken.clone());
        Pin::new(&mut self.executor).poll(&mut Context::from_waker(&waker))
    }

    /// Polls the executor until it sleeps or is over.
    fn settle(&mut self) -> Poll<()> {
        loop {
            let polled = self.poll();
            if self.woken.take() == 0 || polled.is_ready() {
                return polled;
            }
        }
    }

    fn did(&self) -> Vec<&'static str> {
        self.log.take()
    }
}

/// A tick that meets a process with a full share.
fn tick(hands: Hands) -> Option<turn::GiveWay> {
    turn::ends_slice().then(|| turn::slice_over(hands, &mut CpuShare::percent(100)))
}

/// Computes until the slice is over: past the tick that a process may owe from before.
async fn use_slice(hands: Hands) {
    let over = tick(hands).or_else(|| tick(hands));
    over.expect("the second tick of a turn is the end of the slice").await;
}

fn wake(wakers: &Wakers) {
    wakers.borrow().as_ref().expect("the task was polled").wake_by_ref();
}

#[test]
fn wake_during_the_poll_brings_one_more_poll() {
    let mut bench = Bench::new(Company::Alone);
    let polls = Rc::new(Cell::new(0));
    let counted = polls.clone();
    bench.start(poll_fn(move |cx| {
        counted.set(counted.get() + 1);
        if counted.get() == 1 {
            cx.waker().wake_by_ref();
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }));
    assert_eq!(bench.settle(), Poll::Pending);
    assert_eq!(polls.get(), 2);
}

#[test]
fn two_wakes_bring_one_poll_and_wake_the_shard_once() {
    let mut bench = Bench::new(Company::Alone);
    let wakers = bench.start_polls("a", 3);
    assert_eq!(bench.settle(), Poll::Pending);
    wake(&wakers);
    wake(&wakers);
    assert_eq!(bench.woken.take(), 1);
    assert_eq!(bench.settle(), Poll::Pending);
    assert_eq!(bench.did(), ["a", "a"]);
}

#[test]
fn wake_from_another_thread_wakes_the_shard_once_and_not_while_it_is_awake() {
    let mut bench = Bench::new(Company::Alone);
    let wakers = bench.start_polls("a", 3);
    assert_eq!(bench.settle(), Poll::Pending);
    let waker = wakers.take().expect("the task was polled");
    let woken = bench.woken.clone();
    bench.start(poll_fn(move |_| {
        woken.take();
        let waker = waker.clone();
        std::thread::spawn(move || waker.wake()).join().expect("it only wakes");
        assert_eq!(woken.take(), 0, "the shard is awake");
        Poll::Ready(())
    }));
    assert_eq!(bench.settle(), Poll::Pending);
    assert_eq!(bench.did(), ["a", "a"]);
}

/// The place of a task that has ended goes to the next one, and an old waker must not reach that.
#[test]
fn wake_after_the_end_reaches_nobody() {
    let mut bench = Bench::new(Company::Alone);
    let first = bench.start_polls("first", 1);
    assert_eq!(bench.settle(), Poll::Pending);
    let _second = bench.start_polls("second", 2);
    assert_eq!(bench.settle(), Poll::Pending);
    assert_eq!(bench.executor.slots.len(), 1);
    bench.woken.take();
    wake(&first);
    assert_eq!(bench.woken.take(), 0);
    assert_eq!(bench.settle(), Poll::Pending);
    assert_eq!(bench.did(), ["first", "second"]);
}

#[test]
fn wake_in_the_last_poll_is_forgotten() {
    let mut bench = Bench::new(Company::Alone);
    bench.start(poll_fn(|cx| {
        cx.waker().wake_by_ref();
        Poll::Ready(())
    }));
    bench.inbox.close();
    assert_eq!(bench.settle(), Poll::Ready(()));
}

#[test]
fn slice_without_a_lock_goes_behind_everybody_who_is_woken() {
    let mut bench = Bench::new(Company::Alone);
    bench.start_slices("computes", 1, Hands::Empty);
    let _a = bench.start_polls("a", 1);
    let _b = bench.start_polls("b", 1);
    assert_eq!(bench.settle(), Poll::Pending);
    assert_eq!(bench.did(), ["computes", "a", "b", "computes"]);
}

#[test]
fn slice_with_a_lock_stays_among_those_who_are_woken() {
    let mut bench = Bench::new(Company::Alone);
    bench.start_slices("holds", 1, Hands::Holding);
    bench.start_slices("computes", 1, Hands::Empty);
    assert_eq!(bench.settle(), Poll::Pending);
    assert_eq!(bench.did(), ["holds", "computes", "holds", "computes"]);
}

/// It ends only if the low queue gets its turns beside a high queue that is never empty.
#[test]
fn low_queue_does_not_starve() {
    let mut bench = Bench::new(Company::Alone);
    let over = Rc::new(Cell::new(false));
    let seen = over.clone();
    bench.start(async move {
        while !seen.get() {
            turn::GiveWay::once().await;
        }
    });
    bench.start(async move {
        for _ in 0..20 {
            use_slice(Hands::Empty).await;
        }
        over.set(true);
    });
    bench.inbox.close();
    assert_eq!(bench.settle(), Poll::Ready(()));
}

#[test]
fn first_tick_after_a_wait_does_not_end_the_slice() {
    let mut bench = Bench::new(Company::Alone);
    bench.start(async {
        assert!(tick(Hands::Empty).is_none());
        tick(Hands::Empty).expect("the slice is over").await;
        // It comes back with a whole slice, whose end is the next tick.
        tick(Hands::Empty).expect("the slice is over").await;
        turn::GiveWay::once().await;
        assert!(tick(Hands::Empty).is_none());
    });
    bench.inbox.close();
    assert_eq!(bench.settle(), Poll::Ready(()));
}

#[test]
fn slices_are_in_the_proportion_of_the_shares() {
    let mut bench = Bench::new(Company::Alone);
    let slices = Rc::new(RefCell::new([0_u32; 2]));
    let at_first_end = Rc::new(Cell::new(None));
    for (place, percent) in [(0, 40), (1, 100)] {
        let (slices, at_first_end) = (slices.clone(), at_first_end.clone());
        bench.start(async move {
            let mut share = CpuShare::percent(percent);
            // A tick from before the first slice.
            assert!(!turn::ends_slice());
            for _ in 0..100 {
                assert!(turn::ends_slice());
                slices.borrow_mut()[place] += 1;
                turn::slice_over(Hands::Empty, &mut share).await;
            }
            at_first_end.set(at_first_end.get().or(Some(*slices.borrow())));
        });
    }
    bench.inbox.close();
    assert_eq!(bench.settle(), Poll::Ready(()));
    let [small, full] = at_first_end.get().expect("one was the first");
    assert_eq!(full, 100);
    assert!((39..=41).contains(&small), "{small}");
}

#[test]
fn who_holds_a_lock_sits_nothing_out() {
    let mut bench = Bench::new(Company::Alone);
    let polls = Rc::new(Cell::new(0));
    let counted = polls.clone();
    bench.start(async move {
        let mut share = CpuShare::percent(1);
        for hands in [Hands::Holding, Hands::Empty] {
            let mut way = turn::slice_over(hands, &mut share);
            poll_fn(|cx| {
                counted.set(counted.get() + 1);
                Pin::new(&mut way).poll(cx)
            })
            .await;
        }
    });
    bench.inbox.close();
    assert_eq!(bench.settle(), Poll::Ready(()));
    assert_eq!(polls.get(), 2 + 101);
}

/// Sixty-four requests each, in turn, and the one who is alone at the end goes on without leaving the core.
#[test]
fn lock_requests_beyond_the_share_let_others_come_first() {
    let mut bench = Bench::new(Company::Alone);
    for (name, requests) in [("a", 150), ("b", 70)] {
        let log = bench.log.clone();
        bench.start(async move {
            for _ in 0..requests {
                turn::lock_request().await;
                log.borrow_mut().push(name);
            }
        });
    }
    bench.inbox.close();
    assert_eq!(bench.settle(), Poll::Ready(()));
    let runs: Vec<_> = bench.did().chunk_by(|a, b| a == b).map(|run| (run[0], run.len())).collect();
    assert_eq!(runs, [("a", 64), ("b", 64), ("a", 64), ("b", 6), ("a", 22)]);
}

#[test]
fn share_of_lock_requests_begins_anew_when_the_process_comes_back() {
    let mut bench = Bench::new(Company::Alone);
    for name in ["a", "b"] {
        let log = bench.log.clone();
        bench.start(async move {
            for _ in 0..2 {
                for _ in 0..40 {
                    turn::lock_request().await;
                    log.borrow_mut().push(name);
                }
                turn::GiveWay::once().await;
            }
        });
    }
    bench.inbox.close();
    assert_eq!(bench.settle(), Poll::Ready(()));
    let runs: Vec<_> = bench.did().chunk_by(|a, b| a == b).map(|run| (run[0], run.len())).collect();
    assert_eq!(runs, [("a", 40), ("b", 40), ("a", 40), ("b", 40)]);
}

/// Without it, timers and signals would wait for as long as anybody computes.
#[test]
fn tokio_has_its_turn_while_processes_compute() {
    let mut bench = Bench::new(Company::Alone);
    bench.start(async {
        loop {
            use_slice(Hands::Empty).await;
        }
    });
    for _ in 0..3 {
        assert_eq!(bench.poll(), Poll::Pending);
        assert_eq!(bench.woken.take(), 1);
    }
}

#[test]
fn shard_that_looks_out_finds_what_another_thread_brings_and_sleeps_if_nothing_comes() {
    let mut bench = Bench::new(Company::Others);
    assert!(!bench.executor.look_out(), "nobody waits");
    let wait = turn::RemoteWait::begin();
    assert!(!bench.executor.look_out(), "nothing comes");
    let _a = bench.start_polls("a", 1);
    assert!(bench.executor.look_out());
    bench.executor.company = Company::Alone;
    assert!(!bench.executor.look_out(), "there is nobody to look out for");
    drop(wait);
}

#[test]
fn closed_shard_ends_with_its_last_task() {
    let mut bench = Bench::new(Company::Alone);
    let wakers = bench.start_polls("a", 2);
    assert_eq!(bench.settle(), Poll::Pending);
    bench.inbox.close();
    assert_eq!(bench.woken.take(), 1);
    assert_eq!(bench.settle(), Poll::Pending);
    wake(&wakers);
    assert_eq!(bench.settle(), Poll::Ready(()));
}

#[test]
fn task_knows_its_shard() {
    assert_eq!(turn::shard(), None);
    let _bench = Bench::new(Company::Alone);
    assert_eq!(turn::shard(), Some(3));
}
