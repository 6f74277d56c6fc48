//! What has to stay free on a file system, kept by all files of this process that are on it together.
//!
//! Asking the system before every append would cost half of a small write, so a look is good for a while: for a quarter of
//! what there was to spare, and a tenth of a second. If each file had such an allowance of its own, a few of them would
//! overrun the reserve together; so there is one for each file system, and what every file takes is taken from that.
//!
//! Not promised: that other processes, or files without a reserve, leave it free. What they take is seen at the next look.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

/// How much may be taken at most before the system is asked again.
const LOOK_EVERY_BYTES: u64 = 16 << 20;

/// For how long a look is good where the caller knows the time.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The room on one file system.
#[derive(Debug, Default)]
pub(crate) struct Room(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// What was free at the last look, less what has been taken since.
    free: u64,
    /// How much of that may be taken before the next look.
    good_for: u64,
    looked: Option<Instant>,
    /// What was taken and is still in the memory of its file, so that no look can know of it.
    unwritten: u64,
}

static ROOMS: Mutex<BTreeMap<u64, Weak<Room>>> = Mutex::new(BTreeMap::new());

impl Room {
    /// That of a device, the same one for all its files.
    pub(crate) fn of(device: u64) -> Arc<Room> {
        let mut rooms = ROOMS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(room) = rooms.get(&device).and_then(Weak::upgrade) {
            return room;
        }
        rooms.retain(|_, room| room.strong_count() > 0);
        let room = Arc::new(Room::default());
        rooms.insert(device, Arc::downgrade(&room));
        room
    }

    /// Takes so many bytes, if `reserve` stays free. `ask` says what is free now.
    pub(crate) fn take(
        &self,
        bytes: u64,
        reserve: u64,
        now: Option<Instant>,
        ask: impl FnOnce() -> io::Result<u64>,
    ) -> io::Result<bool> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_old = |looked| now.is_some_and(|now| now.saturating_duration_since(looked) >= LOOK_EVERY);
        // Another file may have a smaller reserve, so what is good for that one need not be for this.
        let is_known = state.looked.is_some_and(|looked| !is_old(looked))
            && bytes <= state.good_for
            && state.free >= reserve.saturating_add(bytes);
        if !is_known {
            state.free = ask()?.saturating_sub(state.unwritten);
            state.looked = Some(now.unwrap_or_else(Instant::now));
            let spare = state.free.saturating_sub(reserve);
            if spare < bytes {
                state.good_for = 0;
                return Ok(false);
            }
            // Others write there too: the less there is, the sooner it is looked at again.
            state.good_for = (spare / 4).min(LOOK_EVERY_BYTES);
        }
        state.free -= bytes;
        state.good_for = state.good_for.saturating_sub(bytes);
        Ok(true)
    }

    /// Of what was taken, so much is kept in memory for a while.
    pub(crate) fn keep(&self, bytes: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).unwritten += bytes;
    }

    /// So much of what was kept has been written, or given up.
    pub(crate) fn let_go(&self, bytes: u64) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.unwritten = state.unwritten.checked_sub(bytes).expect("only what was kept is let go");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(room: &Room, bytes: u64, reserve: u64, now: Instant, free: u64) -> (bool, bool) {
        let mut asked = false;
        let taken = room.take(bytes, reserve, Some(now), || {
            asked = true;
            Ok(free)
        });
        (taken.expect("the system answers"), asked)
    }

    #[test]
    fn a_look_is_good_for_a_quarter_of_what_there_is_to_spare_and_for_a_while() {
        let (room, now) = (Room::default(), Instant::now());
        assert_eq!(take(&room, 10, 1_000, now, 1_400), (true, true));
        assert_eq!(take(&room, 90, 1_000, now, 0), (true, false));
        assert_eq!(take(&room, 1, 1_000, now, 1_300), (true, true), "a quarter is gone");
        assert_eq!(take(&room, 1, 1_000, now, 0), (true, false));
        assert_eq!(take(&room, 1, 1_000, now + LOOK_EVERY, 1_300), (true, true), "it is old");
        assert_eq!(take(&room, 1, 1_299, now + LOOK_EVERY, 1_302), (true, true), "a larger reserve is another matter");
        assert_eq!(take(&room, 2, 1_299, now + LOOK_EVERY, 1_300), (false, true));
        assert_eq!(take(&room, 1, 1_299, now + LOOK_EVERY, 1_300), (true, true), "a smaller one fits");
    }

    #[test]
    fn what_is_still_in_memory_is_taken_from_every_look() {
        let (room, now) = (Room::default(), Instant::now());
        assert_eq!(take(&room, 300, 1_000, now, 1_400), (true, true));
        room.keep(300);
        assert_eq!(take(&room, 101, 1_000, now, 1_400), (false, true));
        assert_eq!(take(&room, 100, 1_000, now, 1_400), (true, true));
        room.let_go(300);
        assert_eq!(take(&room, 101, 1_000, now, 1_400), (true, true));
    }

    #[test]
    fn files_of_one_device_share_its_room() {
        let device = u64::MAX - 7;
        let first = Room::of(device);
        assert!(Arc::ptr_eq(&first, &Room::of(device)) && !Arc::ptr_eq(&first, &Room::of(device - 1)));
    }
}
