//! `lockkeeper inspect`.

use std::path::PathBuf;

use clap::Args;
use lockkeeper::{Runtime, RuntimeConfig};

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

impl Inspect {
    pub(super) fn execute(self) -> anyhow::Result<u8> {
        let config = RuntimeConfig { shards: 1, cache_dir: self.host.cache_dir(), ..RuntimeConfig::default() };
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
        if uses("mutex") {
            print_line(format_args!(
                "  wants locks: grant each with --lock NAME, or [lock.NAME] and `grants = {{ lock = [..] }}`"
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
