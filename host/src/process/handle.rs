//! A process as those outside see it: to be ended, and to be waited for.

use std::sync::Arc;
use std::time::Duration;

use super::control::{Control, Stop};
use crate::blocking;
use crate::ids::ProcessId;
use crate::observe::{Denial, Outcome};

/// A process that was started.
///
/// Dropping this changes nothing: the process goes on.
#[derive(Clone, Debug)]
pub struct Process {
    pub(crate) id: ProcessId,
    pub(crate) name: Arc<str>,
    pub(crate) control: Arc<Control>,
}

impl Process {
    /// Its number.
    pub fn id(&self) -> ProcessId {
        self.id
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Ends it, wherever it is: running, waiting, or at the instant of a grant, which then passes on. Returns at once;
    /// [`Process::join`] tells when it is done. A process that has ended stays as it ended.
    pub fn kill(&self) {
        self.control.stop(Stop::Killed);
    }

    /// Ends it as a time limit does that was not known when it started. If its program has ended, nothing happens: what is
    /// still to be committed takes the time it takes.
    pub fn time_out(&self, limit: Duration) {
        self.control.stop(Stop::Overdue(limit));
    }

    /// Waits for its end. By then its holds are released and its appends settled.
    pub async fn join(&self) -> Arc<Exit> {
        self.control.join().await
    }

    /// [`Process::join`], for how it ended.
    pub async fn outcome(&self) -> Outcome {
        self.join().await.outcome.clone()
    }

    /// [`Process::join`] for a thread that may block.
    ///
    /// # Panics
    ///
    /// On a thread that runs processes, which a host interface is called on, unless the process has ended.
    pub fn join_blocking(&self) -> Arc<Exit> {
        if let Some(exit) = self.try_join() {
            return exit;
        }
        blocking::check().expect("this thread runs processes, and must not wait for one; use the async form");
        self.control.join_blocking()
    }

    /// How it ended, if it has.
    pub fn try_join(&self) -> Option<Arc<Exit>> {
        self.control.try_join()
    }
}

/// The end of a process.
#[derive(Clone, Debug)]
pub struct Exit {
    /// Which process.
    pub id: ProcessId,
    /// Its name.
    pub name: Arc<str>,
    /// How it ended.
    pub outcome: Outcome,
    /// From its start to its end.
    pub lived: Duration,
    /// What it asked for and was not granted, each thing once, the first few.
    pub denials: Vec<Denial>,
    /// How much of its output was dropped because of its limit, in bytes.
    pub output_dropped_bytes: u64,
}
