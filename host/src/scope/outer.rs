//! The outer lock of a name: what keeps everybody out who is not in this host.
//!
//! A scope says who is outside. In `process` scope nobody is, and there is no outer lock. In `machine` scope it is a lock
//! file ([`machine`]). Nothing in here knows that: an outer lock is taken without waiting, or not; it says who has it; and
//! there is a stream of news of when it is worth trying again.
//!
//! The lock table has a gate for each lock with an outer one ([`LockTable::create_gated`]). A thread keeps the gates
//! ([`keeper`]), and when it does what is decided in a file of its own that knows neither files nor threads ([`rhythm`]).
//!
//! [`LockTable::create_gated`]: lockkeeper_locks::LockTable::create_gated

pub(super) mod keeper;
pub(super) mod machine;
mod rhythm;

use std::fmt;
use std::os::fd::BorrowedFd;

use lockkeeper_locks::{Departure, FenceBlock, Left, LockId, Mode};

/// Where outer locks come from, and news of them.
pub(super) trait Outside: Send + fmt::Debug {
    /// Readable when there is news.
    fn news_fd(&self) -> Option<BorrowedFd<'_>>;

    /// What is new since the last time, in order, without waiting for more.
    fn read_news(&mut self, tell: &mut dyn FnMut(LockId, News));
}

/// The outer lock of one name.
pub(super) trait OuterLock: Send + fmt::Debug {
    /// Takes it if nobody has it in a way that does not fit. Never waits for anybody.
    fn try_take(&mut self, mode: Mode) -> Result<Option<Taken>, OuterError>;

    /// More fences, while it is taken alone. May wait for a disk.
    fn more_fences(&mut self) -> Result<Taken, OuterError>;

    /// Lets it go, and tells those who wait for it.
    fn let_go(&mut self, departure: &Departure);

    /// Tells whoever has it, and whoever looks, whether it is waited for.
    fn show_waiting(&mut self, waits: bool);

    /// Who has it, as far as that can be said.
    fn holder(&self) -> Option<Outsider>;
}

/// What comes with an outer lock that was taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    pub(super) fences: FenceBlock,
    /// So far fences may ever be issued without more being reserved.
    pub(super) reserved: u64,
    pub(super) left: Left,
}

/// What is heard of an outer lock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum News {
    /// Somebody came who waits for it, or may.
    Comes,
    /// Somebody who came has gone.
    Goes,
    /// Another host waits for it.
    Knocks,
    /// It may be free.
    Changed,
    /// It is not what it was: whoever asks under its name may get another one.
    Replaced,
}

/// Somebody outside who has a lock.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Outsider {
    pub(super) who: String,
    /// Whether it is stopped, so that nothing will come of waiting before it goes on.
    pub(super) stopped: bool,
}

/// Why an outer lock is not to be had at all.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(super) struct OuterError(#[from] Box<dyn std::error::Error + Send + Sync>);
