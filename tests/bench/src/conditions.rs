//! Under which conditions the figures came about.

use std::fs;
use std::process::Command;

use serde::Serialize;

use crate::guests::workspace;
use crate::plan::Lengths;

/// The packages whose versions belong to the figures.
const PACKAGES: [&str; 4] = ["lockkeeper", "wasmtime", "tokio", "parking_lot"];

/// What a figure means only together with.
#[derive(Serialize)]
pub(crate) struct Conditions {
    pub(crate) cores: usize,
    pub(crate) processor: String,
    pub(crate) system: String,
    pub(crate) compiler: String,
    pub(crate) versions: Vec<String>,
    pub(crate) python: Option<String>,
    /// What belongs to the figures of this plan.
    pub(crate) notes: Vec<String>,
    pub(crate) optimised: bool,
    pub(crate) shards: usize,
    pub(crate) rounds: u32,
    pub(crate) warm_up_ms: u128,
    pub(crate) window_ms: u128,
    /// Load averages over 1, 5 and 15 minutes. Afterwards they are ours too.
    pub(crate) load_before: String,
    pub(crate) load_after: String,
}

impl Conditions {
    /// As they are before anything is measured.
    pub(crate) fn look(shards: usize, rounds: u32, lengths: Lengths) -> Self {
        let lock = fs::read_to_string(workspace().join("Cargo.lock")).unwrap_or_default();
        Self {
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            processor: processor(),
            system: first_line("/proc/sys/kernel/osrelease"),
            compiler: compiler(),
            versions: PACKAGES.iter().filter_map(|package| version(&lock, package)).collect(),
            python: None,
            notes: Vec::new(),
            optimised: !cfg!(debug_assertions),
            shards,
            rounds,
            warm_up_ms: lengths.warm_up.as_millis(),
            window_ms: lengths.window.as_millis(),
            load_before: load(),
            load_after: String::new(),
        }
    }

    /// What is known only afterwards.
    pub(crate) fn finish(&mut self, python: Option<&str>, notes: Vec<String>) {
        self.python = python.map(str::to_owned);
        self.notes = notes;
        self.load_after = load();
    }
}

fn version(lock: &str, package: &str) -> Option<String> {
    let mut lines = lock.lines().skip_while(|line| *line != format!("name = \"{package}\"")).skip(1);
    let version = lines.next()?.strip_prefix("version = ")?;
    Some(format!("{package} {}", version.trim_matches('"')))
}

fn processor() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    name.trim_start_matches([' ', '\t', ':']).to_owned()
}

fn compiler() -> String {
    let asked = Command::new("rustc").arg("--version").current_dir(workspace()).output();
    asked.map(|answer| String::from_utf8_lossy(&answer.stdout).trim().to_owned()).unwrap_or_default()
}

fn load() -> String {
    first_line("/proc/loadavg").split(' ').take(3).collect::<Vec<_>>().join(" ")
}

fn first_line(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_is_that_of_the_package_of_exactly_this_name() {
        let lock = "name = \"tokio-util\"\nversion = \"0.7.1\"\n\nname = \"tokio\"\nversion = \"1.2.3\"\n";
        assert_eq!(version(lock, "tokio").as_deref(), Some("tokio 1.2.3"));
        assert_eq!(version(lock, "wasmtime"), None);
    }
}
