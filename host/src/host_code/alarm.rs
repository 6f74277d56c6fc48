//! A deadline of host code, kept by the host's own clock, so that no async runtime of a particular kind is needed.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use crate::shard::Ticker;

/// Comes at its time, a tick of the clock later at most. Dropping it takes it back.
pub(crate) struct Alarm<'a> {
    ticker: &'a Ticker,
    at: Instant,
    /// What it is called by the ticker, once it was set.
    number: Option<u64>,
}

impl<'a> Alarm<'a> {
    pub(crate) fn at(ticker: &'a Ticker, at: Instant) -> Self {
        Self { ticker, at, number: None }
    }
}

impl Future for Alarm<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if Instant::now() >= self.at {
            return Poll::Ready(());
        }
        self.number = Some(self.ticker.wake_at(self.at, self.number, cx.waker()));
        Poll::Pending
    }
}

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.ticker.wake_no_more(self.at, number);
        }
    }
}
