//! How many processes an engine has room for, and who is in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Profile;
use super::limits::SystemLimits;
use crate::byte_size::ByteSize;

/// What a process that does nothing takes of the system's memory, whatever its program: its own, and 5 KiB of page tables.
const PROCESS_BYTES: u64 = 38 << 10;

/// Open files of everything that is no process.
const OTHER_FILES: u64 = 64;

/// Why there is no room for a process, or for as many as are to run at once.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoRoom {
    /// As many are alive as there is room for.
    #[error(
        "{wanted} processes at once are too many for the profile `{profile}`, which has room for {max} here; {}",
        remedy(*profile)
    )]
    Processes {
        /// How many there would be.
        wanted: usize,
        /// The profile of their program.
        profile: Profile,
        /// How many there may be.
        max: usize,
    },
    /// The addresses that this host may use are too few for even one process of [`Profile::Image`].
    #[error(
        "the profile `image` needs 18 GiB of addresses for each process, and the system allows {} in all; raise it with \
         `ulimit -v unlimited`, or take --profile dense",
        ByteSize(*limit_bytes)
    )]
    Addresses {
        /// How many there are.
        limit_bytes: u64,
    },
    /// The mappings that the system allows are too few for even one process of [`Profile::Image`].
    #[error(
        "the profile `image` needs mappings of the system, which allows {max} in all; raise `vm.max_map_count`, or take \
         --profile dense"
    )]
    Mappings {
        /// How many there may be.
        max: u64,
    },
    /// The memory that is free is too little, whatever the processes do.
    #[error(
        "{wanted} processes at once take {} even if they do nothing, and {} are free; run fewer at once",
        ByteSize(*needed_bytes), ByteSize(*available_bytes)
    )]
    Memory {
        /// How many there would be.
        wanted: usize,
        /// What they would take.
        needed_bytes: u64,
        /// What is free.
        available_bytes: u64,
    },
    /// Each process holds directories or inputs open, and the system allows fewer open files.
    #[error(
        "{wanted} processes at once hold {needed} files open (each its directories and inputs), and the system allows {max}; \
         raise it with `ulimit -n {needed}`, or run fewer at once"
    )]
    OpenFiles {
        /// How many there would be.
        wanted: usize,
        /// What they would hold open, and the host.
        needed: u64,
        /// What is allowed.
        max: u64,
    },
}

fn remedy(profile: Profile) -> &'static str {
    match profile {
        Profile::Dense => {
            "run fewer at once, or raise what limits them (`ulimit -v`, `vm.max_map_count`, `vm.overcommit_memory`)"
        }
        Profile::Image => "run fewer at once, take --profile dense, or raise `vm.max_map_count`",
    }
}

/// The room of one engine.
#[derive(Debug)]
pub(crate) struct Room {
    profile: Profile,
    max: usize,
    limits: SystemLimits,
    inside: AtomicUsize,
}

/// A process's stay in the room, from its start to when all that it used is given back.
#[derive(Debug)]
pub(crate) struct Stay(Arc<Room>);

impl Room {
    pub(super) fn new(profile: Profile, max: usize, limits: SystemLimits) -> Self {
        Self { profile, max, limits, inside: AtomicUsize::new(0) }
    }

    pub(crate) fn profile(&self) -> Profile {
        self.profile
    }

    pub(crate) fn processes_max(&self) -> usize {
        self.max
    }

    /// Room for one more process.
    pub(crate) fn enter(self: &Arc<Self>) -> Result<Stay, NoRoom> {
        // Only the number counts, and nothing that goes with it is read by it.
        let before = self.inside.fetch_add(1, Ordering::Relaxed);
        let stay = Stay(self.clone());
        if before < self.max {
            return Ok(stay);
        }
        Err(NoRoom::Processes { wanted: before + 1, profile: self.profile, max: self.max })
    }

    /// Whether so many processes can be there at once that hold so many files open each, as far as that can be said before
    /// they run.
    pub(crate) fn check(&self, wanted: usize, files_each: usize) -> Result<(), NoRoom> {
        if wanted > self.max {
            return Err(NoRoom::Processes { wanted, profile: self.profile, max: self.max });
        }
        let needed_bytes = wanted as u64 * PROCESS_BYTES;
        if let Some(available_bytes) = self.limits.available_bytes.filter(|available| needed_bytes > *available) {
            return Err(NoRoom::Memory { wanted, needed_bytes, available_bytes });
        }
        let needed = wanted as u64 * files_each as u64 + OTHER_FILES;
        match self.limits.open_files {
            Some(max) if files_each > 0 && needed > max => Err(NoRoom::OpenFiles { wanted, needed, max }),
            Some(_) | None => Ok(()),
        }
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        let before = self.0.inside.fetch_sub(1, Ordering::Relaxed);
        assert!(before > 0, "whoever leaves has entered");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(max: usize) -> Arc<Room> {
        let limits = SystemLimits {
            address_bytes: None,
            mappings: 65_530,
            commit_bytes: None,
            available_bytes: Some(1_000 * PROCESS_BYTES),
            open_files: Some(1_024),
        };
        Arc::new(Room::new(Profile::Dense, max, limits))
    }

    #[test]
    fn a_room_takes_as_many_as_it_has_room_for_and_again_after_somebody_left() {
        let room = room(2);
        let (first, _second) = (room.enter().expect("room"), room.enter().expect("room"));
        let refused = NoRoom::Processes { wanted: 3, profile: Profile::Dense, max: 2 };
        assert_eq!(room.enter().expect_err("it is full"), refused);
        assert_eq!(room.enter().expect_err("who was refused takes no room"), refused);
        drop(first);
        room.enter().expect("there is room again");
    }

    #[test]
    fn what_cannot_fit_is_known_before() {
        let room = room(2_000);
        assert_eq!(room.check(1_000, 0), Ok(()));
        assert!(matches!(room.check(2_001, 0), Err(NoRoom::Processes { max: 2_000, .. })));
        assert!(matches!(room.check(1_001, 0), Err(NoRoom::Memory { wanted: 1_001, .. })));
        assert_eq!(room.check(960, 1), Ok(()));
        assert!(matches!(room.check(961, 1), Err(NoRoom::OpenFiles { needed: 1_025, max: 1_024, .. })));
    }
}
