//! The mutex under everything: the standard library's, or that of a checker under `cfg(loom)` (every order of a small race)
//! and `cfg(shuttle)` (many orders of a large one).

#[cfg(loom)]
pub(crate) use loom::sync::{Mutex, MutexGuard};
#[cfg(shuttle)]
pub(crate) use shuttle::sync::{Mutex, MutexGuard};
#[cfg(not(any(loom, shuttle)))]
pub(crate) use std::sync::{Mutex, MutexGuard};

/// Locks a leaf mutex.
///
/// # Panics
///
/// If a thread panicked while it held this mutex: an invariant was broken under it, and a state that contradicts itself
/// must not be served from.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no invariant was ever broken under this mutex")
}

/// Locks a leaf mutex for a destructor. `None` if an invariant was broken under it: a destructor often runs because of
/// that very panic, and a second one would take the whole process down. Whoever calls next will panic and say so.
pub(crate) fn lock_unless_broken<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    mutex.lock().ok()
}
