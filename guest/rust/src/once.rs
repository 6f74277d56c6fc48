//! Something that one process does for all, once.

use std::time::Duration;

use crate::bindings::lockkeeper::runtime::once as host;
use crate::error::Error;
use crate::hold::{Acquired, Fence, Previous, nanoseconds};

/// A handle of one such thing of the job.
///
/// At most one process does it at a time, and nobody after it is done. Who dies in the middle does not leave the others
/// waiting: the next one gets the turn, and is told how the last one ended.
///
/// ```no_run
/// use lockkeeper_guest::{AppendFile, Error, Once};
///
/// # fn main() -> Result<(), Error> {
/// let header = Once::open("header")?;
/// let file = AppendFile::open("report")?;
/// header.call(|_previous| file.append_unlocked("name value").map(drop))?;
/// # Ok::<(), Error>(())
/// # }
/// ```
#[derive(Debug)]
pub struct Once {
    handle: host::Once,
}

impl Once {
    /// Opens the once that the job calls `name`: 1 to 64 bytes of `A-Z a-z 0-9 . _ / -`.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`]; [`Error::Denied`] when there is no such once for this process; [`Error::Limit`] when too
    /// many handles are open.
    pub fn open(name: &str) -> Result<Self, Error> {
        let handle = host::Once::open(name).map_err(Error::from_wit)?;
        Ok(Self { handle })
    }

    /// Sees to it that it has been done: calls `work` if nobody has done it, and waits while another process is at it.
    /// `work` is told how the last who tried has ended. If it fails, the turn passes to the next. Answers whether this
    /// call did it.
    ///
    /// # Errors
    ///
    /// What `work` returns; as [`Once::begin`]; and if `work` went well but the turn was taken away meanwhile,
    /// [`Error::Lost`] or what else [`Turn::complete`] says: another process may do it again.
    pub fn call<E: From<Error>>(&self, work: impl FnOnce(Previous) -> Result<(), E>) -> Result<bool, E> {
        take(self.begin()?, work)
    }

    /// As [`Once::call`], but waits for another process no longer than `timeout`. What `work` takes is not limited.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`], and as [`Once::call`].
    pub fn call_timeout<E: From<Error>>(
        &self,
        timeout: Duration,
        work: impl FnOnce(Previous) -> Result<(), E>,
    ) -> Result<bool, E> {
        take(self.begin_timeout(timeout)?, work)
    }

    /// Asks for the turn, and waits while another process has it; `None` when it has been done.
    ///
    /// # Errors
    ///
    /// [`Error::Deadlock`] at once when this process has the turn already, or when waiting would close a circle of
    /// processes; [`Error::Lost`]; [`Error::Cancelled`]; [`Error::Limit`] of waiters or of holds;
    /// [`Error::Unavailable`].
    pub fn begin(&self) -> Result<Option<Turn<'_>>, Error> {
        self.begin_ns(None)
    }

    /// As [`Once::begin`], but waits no longer than `timeout`.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`], and as [`Once::begin`].
    pub fn begin_timeout(&self, timeout: Duration) -> Result<Option<Turn<'_>>, Error> {
        self.begin_ns(nanoseconds(timeout))
    }

    /// Whether it has been done.
    pub fn is_done(&self) -> bool {
        self.handle.is_done()
    }

    fn begin_ns(&self, timeout_ns: Option<u64>) -> Result<Option<Turn<'_>>, Error> {
        Ok(match self.handle.begin(timeout_ns).map_err(Error::from_wit)? {
            host::Turn::Yours(acquired) => Some(Turn { once: self, hold: Acquired::from_wit(acquired) }),
            host::Turn::Done => None,
        })
    }
}

/// Does it if it is this process's turn, and says whether it was.
fn take<E: From<Error>>(turn: Option<Turn<'_>>, work: impl FnOnce(Previous) -> Result<(), E>) -> Result<bool, E> {
    let Some(turn) = turn else { return Ok(false) };
    // If this fails, the turn is dropped, and with it given up.
    work(turn.previous())?;
    turn.complete()?;
    Ok(true)
}

/// The turn to do it. Drop it to give it up; [`Turn::complete`] says that it is done.
#[derive(Debug)]
#[must_use = "dropping the turn gives it up at once"]
pub struct Turn<'a> {
    once: &'a Once,
    hold: Acquired,
}

impl Turn<'_> {
    /// The number of this turn.
    pub fn fence(&self) -> Fence {
        self.hold.fence
    }

    /// How the last who had the turn has ended: [`Previous::Clean`] for nobody, and for one that gave it up.
    pub fn previous(&self) -> Previous {
        self.hold.previous
    }

    /// It is done: everyone who waits, or asks later, is told so.
    ///
    /// # Errors
    ///
    /// [`Error::Lost`], [`Error::NotOwner`], [`Error::NotHeld`] or [`Error::Fenced`] when the turn was taken away
    /// before: another process may do it again.
    pub fn complete(self) -> Result<(), Error> {
        let answer = self.once.handle.complete(self.hold.fence.get()).map_err(Error::from_wit);
        std::mem::forget(self);
        answer
    }

    /// Passes the turn to the next, and says whether this process still had it. Dropping the turn passes it too,
    /// silently.
    ///
    /// # Errors
    ///
    /// As [`Turn::complete`].
    pub fn give_up(self) -> Result<(), Error> {
        let answer = self.pass();
        std::mem::forget(self);
        answer
    }

    fn pass(&self) -> Result<(), Error> {
        self.once.handle.give_up(self.hold.fence.get()).map_err(Error::from_wit)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        // A turn that is gone already is no reason to panic in a destructor.
        drop(self.pass());
    }
}
