//! A thread that is started when there is something to do that may take long, and ends with its file.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;
use std::{fmt, io};

type Job = Box<dyn FnOnce() + Send>;

/// One thread and what it is to do, in order; and what it is to do at some time.
#[derive(Default)]
pub(crate) struct Worker {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    news: Condvar,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    /// At most one: what is due when.
    due: Option<(Instant, Job)>,
    closing: bool,
}

impl fmt::Debug for Worker {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Worker").finish_non_exhaustive()
    }
}

impl Worker {
    /// Has `job` done after those before it. An error if there is no thread and none can be started: then it is not done.
    pub(crate) fn post(&self, job: Job) -> io::Result<()> {
        self.start()?;
        self.shared.lock().jobs.push_back(job);
        self.shared.news.notify_one();
        Ok(())
    }

    /// Has `job` done at some time, unless something is due already.
    pub(crate) fn post_at(&self, at: Instant, job: Job) -> io::Result<()> {
        self.start()?;
        self.shared.lock().due.get_or_insert((at, job));
        self.shared.news.notify_one();
        Ok(())
    }

    fn start(&self) -> io::Result<()> {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if self.shared.lock().closing {
            return Err(io::Error::other("the file is closed"));
        }
        if thread.is_none() {
            let shared = self.shared.clone();
            *thread = Some(thread::Builder::new().name("append file".to_owned()).spawn(move || shared.work())?);
        }
        Ok(())
    }

    /// Does what is still to be done, but for what is not due, and ends the thread. Nothing can be posted from here on.
    pub(crate) fn close(&self) {
        let due = {
            let mut queue = self.shared.lock();
            queue.closing = true;
            queue.due.take()
        };
        // It is not run, and dropping it may take other mutexes.
        drop(due);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.shared.news.notify_one();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread of an append file panicked");
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut queue = self.lock();
        loop {
            // What is due is not put off by what comes after it.
            let is_due = queue.due.as_ref().is_some_and(|(at, _)| *at <= Instant::now());
            let next = if is_due { None } else { queue.jobs.pop_front() };
            let job = match (next, &queue.due) {
                (Some(job), _) => Some(job),
                (None, Some((at, _))) => {
                    let left = at.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        queue.due.take().map(|(_, job)| job)
                    } else {
                        queue = self.news.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
                        None
                    }
                }
                (None, None) if queue.closing => return,
                (None, None) => {
                    queue = self.news.wait(queue).unwrap_or_else(PoisonError::into_inner);
                    None
                }
            };
            if let Some(job) = job {
                drop(queue);
                if catch_unwind(AssertUnwindSafe(job)).is_err() {
                    tracing::error!("what the thread of an append file had to do ended in a panic");
                }
                queue = self.lock();
            }
        }
    }
}
