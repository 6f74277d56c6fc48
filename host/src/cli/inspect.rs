//! `lockkeeper inspect`.

use std::path::PathBuf;

use clap::Args;
use lockkeeper::{ByteSize, Footprint, IMAGE_PROCESSES, Profile, Runtime, RuntimeConfig};

use super::options::HostOptions;
use super::output::print_line;

#[derive(Debug, Args)]
pub(super) struct Inspect {
    /// A component, or a WASI 0.1 core module
    #[arg(value_name = "PROGRAM.wasm")]
    program: PathBuf,
    #[command(flatten)]
    host: HostOptions,
}

/// The interfaces of what is declared under `[lock.NAME]`.
const LOCK_KINDS: [&str; 10] =
    ["mutex", "rlock", "rwlock", "semaphore", "once", "condition", "event", "barrier", "latch", "queue"];

impl Inspect {
    pub(super) fn execute(self) -> anyhow::Result<u8> {
        let (cache_dir, profile) = (self.host.cache_dir(), self.host.profile());
        let config = RuntimeConfig { shards: 1, cache_dir, profile, ..RuntimeConfig::default() };
        let inspection = Runtime::new(config)?.inspect(&self.program)?;
        if self.host.json {
            print_line(format_args!("{}", serde_json::to_string(&inspection)?));
            return Ok(0);
        }
        print_line(format_args!("{}", self.program.display()));
        print_line(format_args!(
            "  runs as a command: {}",
            if inspection.is_command { "yes" } else { "no: it exports no wasi:cli/run" }
        ));
        let Footprint { memory_bytes, data_bytes, .. } = inspection.footprint;
        print_line(format_args!(
            "  profile: {} (its memory begins with {}, {} of it data)",
            match (profile, inspection.profile) {
                (None, Profile::Dense) => format!("image up to {IMAGE_PROCESSES} processes at once, dense beyond that"),
                (_, profile) => profile.to_string(),
            },
            ByteSize(memory_bytes),
            ByteSize(data_bytes)
        ));
        print_line(format_args!("  imports:"));
        for import in &inspection.imports {
            print_line(format_args!(
                "    {}{}",
                import.name,
                if import.known { "" } else { "    (this host does not have it)" }
            ));
        }
        let uses = |interface: &str| {
            inspection.imports.iter().any(|import| import.name.starts_with(&format!("lockkeeper:runtime/{interface}@")))
        };
        let locks: Vec<_> = LOCK_KINDS.into_iter().filter(|kind| uses(kind)).collect();
        if !locks.is_empty() {
            print_line(format_args!(
                "  wants locks ({}): grant each with --lock NAME[:KIND], or [lock.NAME] and `grants = {{ lock = [..] }}`",
                locks.join(", ")
            ));
        }
        if uses("value") {
            print_line(format_args!(
                "  wants values: grant each with --value NAME, or [value.NAME] and `grants = {{ value = [..] }}`"
            ));
        }
        if uses("append") {
            print_line(format_args!(
                "  wants append files: grant each with --append NAME=FILE, or [file.NAME] and `grants = {{ file = [..] }}`"
            ));
        }
        Ok(0)
    }
}
