//! What a run of many processes does beside running them.

use std::path::PathBuf;

use super::halt::Halt;
use super::joblog::JoblogSpec;
use super::overdue::MedianLimit;
use super::series::Series;

/// What a run of many processes does beside running them. Nothing, by default.
#[derive(Debug, Default)]
pub(in crate::cli) struct Batch {
    /// What makes it resumable.
    pub(in crate::cli) series: Option<Series>,
    /// When it ends early.
    pub(in crate::cli) halt: Option<Halt>,
    /// How often a process that fails is started, if more than once.
    pub(in crate::cli) attempts_max: u32,
    /// A time limit by how long others took.
    pub(in crate::cli) median_limit: Option<MedianLimit>,
    /// Where each process is noted when it has ended.
    pub(in crate::cli) joblog: Option<JoblogSpec>,
    /// The directory in which each process has its output.
    pub(in crate::cli) results: Option<PathBuf>,
    /// Whether what a process prints waits for its end.
    pub(in crate::cli) grouping: Grouping,
}

/// When what processes print is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::cli) enum Grouping {
    /// Line by line, at once.
    #[default]
    ByLine,
    /// All lines of a process together, when it has ended.
    ByProcess,
}
