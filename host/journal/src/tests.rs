//! What needs a disk that fails on demand, or a look at the parts. The rest is tested from outside, in `tests/`.

mod double;
mod faults;
mod machine;
mod os_locks;
mod tails;

/// The systems' numbers for the errors that a write can meet.
mod errno {
    pub(super) const EIO: i32 = 5;
    pub(super) const EFBIG: i32 = 27;
    pub(super) const ENOSPC: i32 = 28;
    pub(super) const EDQUOT: i32 = 122;
    pub(super) const EINTR: i32 = 4;
}
