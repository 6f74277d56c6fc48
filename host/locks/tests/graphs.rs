//! Random graphs of owners and locks against a checker that knows nothing but lists: every circle is found by the request
//! that closes it, and no other request is refused.
//!
//! 10,000 graphs by default; `GRAPHS=1000000` for a long run.

use std::sync::Arc;
use std::time::Instant;

use lockkeeper_locks::{AcquireError, Acquisition, FenceBlock, Limits, LockConfig, LockId, LockTable, OwnerId, Wait};
use proptest::prelude::Rng;
use proptest::test_runner::{RngAlgorithm, TestRng};

/// Requests and releases tried in one graph.
const STEPS: usize = 120;

struct Graph {
    table: Arc<LockTable>,
    locks: Vec<LockId>,
    /// Who holds each lock.
    holders: Vec<Option<usize>>,
    /// What each owner waits for.
    waits: Vec<Option<(usize, Wait)>>,
    now: Instant,
}

fn id(owner: usize) -> OwnerId {
    OwnerId::new(1 + owner as u64)
}

impl Graph {
    fn new(owners: usize, locks: usize) -> Self {
        let limits = Limits { holds_per_owner_max: 1_000, ..Limits::default() };
        let table = Arc::new(LockTable::new(limits));
        // No barging: whoever is released to is known at once.
        let config = LockConfig::bounded(std::time::Duration::ZERO);
        let locks: Vec<_> =
            (0..locks).map(|_| table.create_mutex(config, FenceBlock { start: 1, end: 1 << 40 })).collect();
        Self {
            table,
            holders: vec![None; locks.len()],
            locks,
            waits: (0..owners).map(|_| None).collect(),
            now: Instant::now(),
        }
    }

    /// The naive checker: who is reached from an owner that waits for a lock, however far.
    fn would_close(&self, owner: usize, lock: usize) -> bool {
        let mut reached = vec![false; self.waits.len()];
        let mut next = self.holders[lock];
        while let Some(holder) = next {
            if holder == owner {
                return true;
            }
            if std::mem::replace(&mut reached[holder], true) {
                panic!("a circle stands that nobody was refused for");
            }
            next = self.waits[holder].as_ref().and_then(|(lock, _)| self.holders[*lock]);
        }
        false
    }

    /// How many owners the refused request was told of; none if it was not refused.
    fn ask(&mut self, owner: usize, lock: usize) -> Option<usize> {
        let closes = self.would_close(owner, lock);
        match self.table.acquire(id(owner), self.locks[lock], self.now) {
            Ok(Acquisition::Ready(_)) => {
                assert_eq!(self.holders[lock], None);
                self.holders[lock] = Some(owner);
            }
            Ok(Acquisition::Wait(wait)) => {
                assert!(!closes, "a circle was missed");
                self.waits[owner] = Some((lock, wait));
            }
            Err(AcquireError::Deadlock { circle }) => {
                assert!(closes, "{circle:?} is no circle");
                self.is_circle(owner, lock, &circle);
                return Some(circle.len());
            }
            Err(other) => panic!("{other}"),
        }
        None
    }

    fn is_circle(&self, owner: usize, lock: usize, circle: &[lockkeeper_locks::Link]) {
        assert_eq!((circle[0].owner, circle[0].waits_for), (id(owner), self.locks[lock]));
        for (link, next) in circle.iter().zip(circle.iter().cycle().skip(1)) {
            assert_eq!(link.waits_for, next.holds);
            let held = self.locks.iter().position(|lock| *lock == link.holds).expect("a lock of this table");
            let who = self.holders[held].expect("it is held");
            assert_eq!(id(who), link.owner);
            if who != owner {
                let (waited, _) = self.waits[who].as_ref().expect("a member waits");
                assert_eq!(self.locks[*waited], link.waits_for);
            }
        }
    }

    fn release(&mut self, lock: usize) {
        let owner = self.holders[lock].take().expect("it is held");
        self.table.release(id(owner), self.locks[lock], self.now).expect("its owner releases it");
        let next = self.table.inspect(self.locks[lock]).holder().map(|holder| holder.owner);
        if let Some(next) = (0..self.waits.len()).find(|owner| Some(id(*owner)) == next) {
            let (_, mut wait) = self.waits[next].take().expect("who is handed the lock has waited");
            let _ = wait.expire(self.now).expect("it was handed over");
            self.holders[lock] = Some(next);
        }
    }
}

#[test]
fn every_circle_of_a_random_graph_is_found_and_nothing_else() {
    let graphs = std::env::var("GRAPHS").map_or(10_000, |graphs| graphs.parse().expect("GRAPHS is a number"));
    let mut random = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut below = move |bound: usize| random.next_u64() as usize % bound;
    let (mut circles, mut longest) = (0u64, 0);
    for _ in 0..graphs {
        let mut graph = Graph::new(2 + below(12), 2 + below(12));
        for _ in 0..STEPS {
            let lock = below(graph.locks.len());
            let owner = below(graph.waits.len());
            let holder_runs = graph.holders[lock].is_some_and(|holder| graph.waits[holder].is_none());
            if holder_runs && below(4) == 0 {
                graph.release(lock);
            } else if graph.waits[owner].is_none()
                && let Some(members) = graph.ask(owner, lock)
            {
                circles += 1;
                longest = longest.max(members);
            }
        }
        graph.table.check();
    }
    println!("{graphs} graphs, {circles} circles, the longest of {longest} owners");
    assert!(circles > graphs && longest >= 5, "these graphs prove nothing: {circles} circles, longest {longest}");
}
