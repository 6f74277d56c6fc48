//! Random graphs of owners and locks of every kind that circles can go through, against a checker that knows nothing but
//! lists and lets everyone finish who can: every circle is found by the request that closes it, no other request is refused, and
//! what is reported is a circle.
//!
//! 10,000 graphs by default; `GRAPHS=1000000` for a long run.
#![cfg(not(loom))]

mod stuck;

use std::sync::Arc;
use std::time::Instant;

use lockkeeper_locks::{
    AcquireError, Acquisition, Ask, FenceBlock, Kind, Limits, LockConfig, LockTable, Mode, OwnerId, SemaphoreKind, Wait,
};
use proptest::prelude::Rng;
use proptest::test_runner::{RngAlgorithm, TestRng};

use stuck::{Scene, Shape, stuck};

/// Requests and releases tried in one graph.
const STEPS: usize = 120;

struct Graph {
    table: Arc<LockTable>,
    /// Who holds each lock, and who waits for it.
    scenes: Vec<Scene>,
    /// What each owner waits for.
    waits: Vec<Option<(usize, Wait)>>,
    now: Instant,
}

/// What came of all graphs.
#[derive(Default)]
struct Found {
    circles: u64,
    longest: usize,
    /// Circles with a link of each mode.
    shared: u64,
    permits: u64,
    upgrades: u64,
    /// Circles of one who waits behind somebody that waits for it.
    of_one: u64,
}

fn id(owner: usize) -> OwnerId {
    OwnerId::new(1 + owner as u64)
}

impl Graph {
    fn new(owners: usize, kinds: &[Kind]) -> Self {
        let limits = Limits { holds_per_owner_max: 1_000, ..Limits::default() };
        let table = Arc::new(LockTable::new(limits));
        // No barging: whoever is released to is known at once.
        let make = |kind: &Kind| Scene {
            id: table.create(*kind, LockConfig::strict(), FenceBlock { start: 1, end: 1 << 40 }),
            shape: match kind {
                Kind::RwLock { .. } => Shape::ReadersOrWriter,
                Kind::Semaphore(SemaphoreKind::Owned { permits }) => Shape::Permits(*permits),
                _ => Shape::Alone,
            },
            holds: Vec::new(),
            queue: Vec::new(),
        };
        let scenes = kinds.iter().map(make).collect();
        Self { table, scenes, waits: (0..owners).map(|_| None).collect(), now: Instant::now() }
    }

    fn hold(&self, owner: usize, lock: usize) -> Option<(Mode, u32)> {
        self.scenes[lock].holds.iter().find(|hold| hold.0 == id(owner)).map(|hold| (hold.1, hold.2))
    }

    /// Something that this owner could ask this lock for, if there is anything.
    fn wish(&self, owner: usize, lock: usize, dice: usize) -> Option<Ask> {
        match (self.scenes[lock].shape, self.hold(owner, lock)) {
            (Shape::Permits(total), held) => {
                let count = 1 + dice as u32 % total;
                // More than there are beside its own would be a circle of one at once: seldom.
                (held.is_none_or(|held| held.1 + count <= total) || dice.is_multiple_of(16))
                    .then_some(Ask::Permits(count))
            }
            (Shape::ReadersOrWriter, None) if !dice.is_multiple_of(3) => Some(Ask::Shared),
            (_, None) => Some(Ask::Exclusive),
            (Shape::ReadersOrWriter, Some((Mode::Shared, 1))) => Some(Ask::Upgrade),
            _ => None,
        }
    }

    fn granted(&mut self, owner: usize, lock: usize, ask: Ask) {
        let holds = &mut self.scenes[lock].holds;
        let count = if let Ask::Permits(count) = ask { count } else { 1 };
        match holds.iter_mut().find(|hold| hold.0 == id(owner)) {
            Some(hold) if ask == Ask::Upgrade => hold.1 = Mode::Exclusive,
            Some(hold) => hold.2 += count,
            None => holds.push((id(owner), ask.mode(), count)),
        }
    }

    fn ask(&mut self, owner: usize, lock: usize, ask: Ask, found: &mut Found) {
        let at_once =
            (self.scenes[lock].queue.is_empty() || ask == Ask::Upgrade) && self.scenes[lock].fits(id(owner), ask);
        let place = if ask == Ask::Upgrade { 0 } else { self.scenes[lock].queue.len() };
        self.scenes[lock].queue.insert(place, (id(owner), ask));
        let closes = !at_once && stuck(&self.scenes).contains(&id(owner));
        match self.table.ask(id(owner), self.scenes[lock].id, ask, self.now) {
            Ok(Acquisition::Ready(_)) => {
                assert!(at_once, "it was not to be had at once");
                self.scenes[lock].queue.remove(place);
                self.granted(owner, lock, ask);
            }
            Ok(Acquisition::Wait(wait)) => {
                assert!(!at_once, "it was to be had at once");
                assert!(!closes, "a circle was missed: {:#?}", self.scenes);
                self.waits[owner] = Some((lock, wait));
            }
            Err(AcquireError::Deadlock { circle }) => {
                assert!(closes, "{circle:?} is no circle: {:#?}", self.scenes);
                stuck::is_circle(&self.scenes, id(owner), self.scenes[lock].id, ask, &circle);
                self.scenes[lock].queue.remove(place);
                self.serve(lock);
                found.circles += 1;
                found.longest = found.longest.max(circle.len());
                found.of_one += u64::from(circle.len() == 1);
                let has = |mode| u64::from(circle.iter().any(|link| link.held_as == mode));
                found.shared += has(Mode::Shared);
                found.permits += has(Mode::Permits);
                found.upgrades += u64::from(ask == Ask::Upgrade);
            }
            Err(other) => panic!("{other}"),
        }
    }

    /// Whoever is first and fits has been handed the lock, one after the other.
    fn serve(&mut self, lock: usize) {
        while let Some((owner, ask)) = self.scenes[lock].queue.first().copied() {
            if !self.scenes[lock].fits(owner, ask) {
                return;
            }
            self.scenes[lock].queue.remove(0);
            let owner = owner.get() as usize - 1;
            let (_, mut wait) = self.waits[owner].take().expect("who is handed the lock has waited");
            let _ = wait.expire(self.now).expect("it was handed over");
            self.granted(owner, lock, ask);
        }
    }

    /// Gives back some of what the owner holds, or turns a write into a read.
    fn give_back(&mut self, owner: usize, lock: usize, dice: usize) {
        let (mode, held) = self.hold(owner, lock).expect("it is held");
        let (who, name) = (id(owner), self.scenes[lock].id);
        let is_rwlock = self.scenes[lock].shape == Shape::ReadersOrWriter;
        let hold = self.scenes[lock].holds.iter_mut().find(|hold| hold.0 == who).expect("it is held");
        if mode == Mode::Permits {
            let count = 1 + dice as u32 % held;
            self.table.release_permits(who, name, count, self.now).expect("its owner releases it");
            hold.2 -= count;
        } else if is_rwlock && mode == Mode::Exclusive && dice.is_multiple_of(3) {
            let _ = self.table.downgrade(who, name, self.now).expect("its owner writes");
            hold.1 = Mode::Shared;
        } else {
            self.table.release(who, name, self.now).expect("its owner releases it");
            hold.2 = 0;
        }
        self.scenes[lock].holds.retain(|hold| hold.2 > 0);
        self.serve(lock);
    }

    fn give_up(&mut self, owner: usize) {
        if let Some((lock, mut wait)) = self.waits[owner].take() {
            assert_eq!(wait.expire(self.now), Err(AcquireError::TimedOut), "nobody who could go on waits");
            self.scenes[lock].queue.retain(|waiter| waiter.0 != id(owner));
            self.serve(lock);
        }
    }
}

#[test]
fn every_circle_of_a_random_graph_is_found_and_nothing_else() {
    let graphs = std::env::var("GRAPHS").map_or(10_000, |graphs| graphs.parse().expect("GRAPHS is a number"));
    let mut random = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut below = move |bound: usize| random.next_u64() as usize % bound;
    let mut found = Found::default();
    for _ in 0..graphs {
        let kinds: Vec<_> = (0..2 + below(8))
            .map(|_| match below(6) {
                0 => Kind::RLock { depth_max: 4 },
                1 | 2 => Kind::RwLock { depth_max: 4 },
                3 | 4 => Kind::Semaphore(SemaphoreKind::Owned { permits: 1 + below(5) as u32 }),
                _ => Kind::Mutex,
            })
            .collect();
        let mut graph = Graph::new(2 + below(9), &kinds);
        for _ in 0..STEPS {
            let (lock, dice) = (below(graph.scenes.len()), below(1 << 16));
            let owner = below(graph.waits.len());
            if graph.waits[owner].is_some() {
                if dice.is_multiple_of(32) {
                    graph.give_up(owner);
                }
                continue;
            }
            // Every fourth owner takes its locks in one order, as a multi-lock does, and gives them back in reverse.
            let highest = (0..graph.scenes.len()).rev().find(|lock| graph.hold(owner, *lock).is_some());
            let in_order = owner.is_multiple_of(4);
            if graph.hold(owner, lock).is_some() && below(3) == 0 {
                graph.give_back(owner, if in_order { highest.expect("it holds one") } else { lock }, dice);
            } else if (!in_order || highest.is_none_or(|highest| lock > highest))
                && let Some(ask) = graph.wish(owner, lock, dice)
            {
                graph.ask(owner, lock, ask, &mut found);
            }
        }
        graph.table.check();
    }
    let Found { circles, longest, shared, permits, upgrades, of_one } = found;
    println!(
        "{graphs} graphs, {circles} circles, the longest of {longest} owners; {shared} through readers, {permits} through \
         permits, {upgrades} closed by an upgrade, {of_one} of one owner"
    );
    assert!(circles > graphs && longest >= 5, "these graphs prove nothing: {circles} circles, longest {longest}");
    assert!(shared.min(permits).min(upgrades) > graphs / 20, "these graphs leave a kind out");
}
