//! Waiting on a thread that may block, for what is otherwise awaited.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use crate::turn;

/// The thread runs processes: if it blocked, they all would.
#[derive(Debug)]
pub(crate) struct OnShard;

/// Whether this thread may block.
pub(crate) fn check() -> Result<(), OnShard> {
    if turn::shard().is_some() { Err(OnShard) } else { Ok(()) }
}

/// Waits here.
pub(crate) fn on<F: Future>(future: F) -> Result<F::Output, OnShard> {
    check()?;
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return Ok(output),
            // An unpark that comes between the poll and this is kept, so none is missed.
            Poll::Pending => thread::park(),
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
