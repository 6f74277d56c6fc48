//! What the owners of every other primitive see, one promise per test. Time is passed in, so nothing here sleeps.
#![cfg(not(loom))]

mod barrier;
mod condition;
mod deaths;
mod event;
mod exit;
mod gates;
mod latch;
mod once;
mod places;
mod policies;
mod queue;
mod revocations;
mod rlock;
mod rwlock;
mod semaphore;
mod shutdown;
mod support;
mod views;
mod wakers;
