//! A reader-writer lock: any number of readers, or one writer.
//!
//! Readers never overtake a waiting writer, which is why a reader that does not read yet is never let past the queue. One
//! that does would wait for a writer that waits for it, so it reads again at once.

use crate::holds::{Hold, Holds};
use crate::ids::{Ask, Mode, OwnerId};
use crate::rule::Again;

pub(crate) fn again(hold: &Hold, ask: Ask, depth_max: u32) -> Again {
    match (hold.mode, ask) {
        (Mode::Shared, Ask::Shared) if hold.count < depth_max => Again::Deeper,
        (Mode::Shared, Ask::Shared) => Again::TooDeep,
        // One read, to be made a write. Of several, the outer ones would go on as if nobody had written.
        (Mode::Shared, Ask::Upgrade) if hold.count == 1 => Again::Ask,
        (_, Ask::Upgrade) => Again::Unfit,
        // A reader that wants to write, or a writer that wants to read: it would wait for itself.
        _ => Again::Deadlock,
    }
}

/// Whether the holds leave room for this one.
pub(crate) fn fits(holds: &Holds, owner: OwnerId, ask: Ask) -> bool {
    match ask {
        Ask::Shared => holds.exclusive().is_none(),
        Ask::Upgrade => holds.len() == 1 && holds.get(owner).is_some_and(Hold::is_live),
        Ask::Exclusive | Ask::Permits(_) => holds.is_empty(),
    }
}
