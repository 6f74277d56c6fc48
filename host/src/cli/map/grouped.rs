//! `--group`: what a process prints comes together, when it has ended.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use lockkeeper::LineSink;

use super::super::output::{Message, Output};

/// The lines of one process, until they are printed.
#[derive(Clone, Default)]
pub(in crate::cli) struct Group(Arc<Mutex<Vec<Message>>>);

impl Group {
    /// Where the process's lines go.
    pub(in crate::cli) fn sink(&self, output: &Arc<Output>, name: String) -> LineSink {
        let (lines, output) = (self.0.clone(), output.clone());
        Arc::new(move |stream, line| {
            let message = output.message(&name, stream, line);
            lines.lock().unwrap_or_else(PoisonError::into_inner).push(message);
        })
    }

    fn take(&self) -> Vec<Message> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// In which order groups are printed.
pub(in crate::cli) enum Groups {
    /// As their processes end.
    AsTheyEnd,
    /// As the processes stand in the plan. Those that have ended out of turn wait here.
    AsPlanned { next: usize, waiting: BTreeMap<usize, Vec<Message>> },
}

impl Groups {
    pub(in crate::cli) fn as_planned() -> Self {
        Self::AsPlanned { next: 0, waiting: BTreeMap::new() }
    }

    /// The process at this place of the plan is over; without a group, as it was never started.
    pub(in crate::cli) fn over(&mut self, place: usize, group: Option<&Group>, output: &Output) {
        let lines = group.map(Group::take).unwrap_or_default();
        match self {
            Self::AsTheyEnd => output.send_all(lines),
            Self::AsPlanned { next, waiting } => {
                waiting.insert(place, lines);
                while let Some(lines) = waiting.remove(next) {
                    output.send_all(lines);
                    *next += 1;
                }
            }
        }
    }

    /// Nothing more will end: prints what still waits.
    pub(in crate::cli) fn finish(&mut self, output: &Output) {
        if let Self::AsPlanned { waiting, .. } = self {
            std::mem::take(waiting).into_values().for_each(|lines| output.send_all(lines));
        }
    }
}
