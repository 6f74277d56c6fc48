//! What the command takes from the environment, all of it in one place.

use std::env;
use std::io::{IsTerminal, stderr};
use std::path::PathBuf;

use tracing::level_filters::LevelFilter;

/// Where compiled programs are kept: `LOCKKEEPER_CACHE_DIR`, else the user's cache directory.
pub(super) fn cache_dir() -> Option<PathBuf> {
    own("LOCKKEEPER_CACHE_DIR").or_else(|| below_home("XDG_CACHE_HOME", ".cache"))
}

/// Where the fences of each lock name are remembered: `LOCKKEEPER_STATE_DIR`, else the user's state directory.
pub(super) fn state_dir() -> Option<PathBuf> {
    own("LOCKKEEPER_STATE_DIR").or_else(|| below_home("XDG_STATE_HOME", ".local/state"))
}

/// The user's own directory.
pub(super) fn home() -> Option<PathBuf> {
    own("HOME")
}

fn own(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn below_home(variable: &str, default: &str) -> Option<PathBuf> {
    let base = own(variable).or_else(|| own("HOME").map(|home| home.join(default)))?;
    Some(base.join("lockkeeper"))
}

/// The command line, for whoever wonders who has a file.
pub(super) fn command_line() -> String {
    env::args().map(|argument| if argument.is_empty() { "''".to_owned() } else { argument }).skip(1).fold(
        "lockkeeper".to_owned(),
        |mut line, argument| {
            line.push(' ');
            line.push_str(&argument);
            line
        },
    )
}

/// Whether progress and colour may be shown on standard error.
pub(super) fn shows_progress() -> bool {
    stderr().is_terminal() && env::var_os("TERM").is_none_or(|term| term != "dumb")
}

fn shows_colour() -> bool {
    stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Warnings of the library go to standard error; `LOCKKEEPER_LOG=debug` (or error, info, trace, off) changes how many.
pub(super) fn start_logging() {
    let level = env::var("LOCKKEEPER_LOG").ok().and_then(|level| level.parse().ok()).unwrap_or(LevelFilter::WARN);
    tracing_subscriber::fmt()
        .with_writer(stderr)
        .with_ansi(shows_colour())
        .with_max_level(level)
        .without_time()
        .with_target(false)
        // The default complains on standard error that standard error cannot be written, and panics over it.
        .log_internal_errors(false)
        .init();
}
