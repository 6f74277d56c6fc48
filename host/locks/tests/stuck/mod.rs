//! Who is stuck, by brute force: let everyone who can go on finish and give all back, again and again; who is left is stuck.
//! Lists and loops, and nothing from the crate but its names.

use lockkeeper_locks::{Ask, Link, LockId, Mode, OwnerId};

/// A lock with its queue, in the order in which it is served.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    pub(crate) id: LockId,
    pub(crate) shape: Shape,
    pub(crate) holds: Vec<(OwnerId, Mode, u32)>,
    pub(crate) queue: Vec<(OwnerId, Ask)>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shape {
    /// Mutexes, rlocks and onces.
    Alone,
    ReadersOrWriter,
    Permits(u32),
}

impl Scene {
    pub(crate) fn fits(&self, owner: OwnerId, ask: Ask) -> bool {
        match (self.shape, ask) {
            (Shape::Permits(total), Ask::Permits(count)) => {
                let held: u32 = self.holds.iter().map(|hold| hold.2).sum();
                held + count <= total
            }
            (_, Ask::Upgrade) => self.holds.iter().all(|hold| hold.0 == owner),
            (Shape::ReadersOrWriter, Ask::Shared) => self.holds.iter().all(|hold| hold.1 == Mode::Shared),
            _ => self.holds.is_empty(),
        }
    }

    fn serve_front(&mut self) -> bool {
        let Some((owner, ask)) = self.queue.first().copied() else { return false };
        if !self.fits(owner, ask) {
            return false;
        }
        self.queue.remove(0);
        let count = if let Ask::Permits(count) = ask { count } else { 1 };
        self.holds.push((owner, ask.mode(), count));
        true
    }
}

/// Everyone who would wait for ever if nobody gave up.
pub(crate) fn stuck(scenes: &[Scene]) -> Vec<OwnerId> {
    let mut scenes = scenes.to_vec();
    loop {
        let waiting: Vec<OwnerId> = scenes.iter().flat_map(|scene| &scene.queue).map(|waiter| waiter.0).collect();
        let mut moved = false;
        for scene in &mut scenes {
            let before = scene.holds.len();
            scene.holds.retain(|hold| waiting.contains(&hold.0));
            moved |= scene.holds.len() < before;
            moved |= scene.serve_front();
        }
        if !moved {
            return waiting;
        }
    }
}

/// Asserts that a circle is one: it begins with who asked, each link holds, in that mode, what the one before waits for, that
/// hold is in its way, and everyone but the first waits already as it says.
pub(crate) fn is_circle(scenes: &[Scene], asker: OwnerId, lock: LockId, ask: Ask, circle: &[Link]) {
    let scene = |id: LockId| scenes.iter().find(|scene| scene.id == id).expect("a lock of this table");
    assert!(!circle.is_empty(), "a circle has a member");
    assert_eq!((circle[0].owner, circle[0].waits_for, circle[0].asks_as), (asker, lock, ask.mode()));
    for (link, next) in circle.iter().zip(circle.iter().cycle().skip(1)) {
        assert_eq!(link.waits_for, next.holds);
        let held = scene(next.holds);
        assert!(
            held.holds.iter().any(|hold| (hold.0, hold.1) == (next.owner, next.held_as)),
            "{next:?} holds nothing of the kind"
        );
        let waits = scene(link.waits_for);
        let place = waits.queue.iter().position(|waiter| waiter.0 == link.owner).expect("a member waits");
        let asked = waits.queue[place].1;
        assert_eq!(asked.mode(), link.asks_as);
        assert!(next.held_as != Mode::Shared || asked != Ask::Shared || place > 0, "readers are in nobody's way");
        let alone = circle.len() == 1 && (matches!(asked, Ask::Permits(_)) || place > 0);
        assert!(next.owner != link.owner || alone, "nobody but who holds permits waits for itself");
    }
    let mut members: Vec<_> = circle.iter().map(|link| link.owner).collect();
    members.sort_unstable();
    members.dedup();
    assert_eq!(members.len(), circle.len(), "a circle meets everyone once");
}
