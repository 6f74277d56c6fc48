//! `lockkeeper inspect`.

use std::path::PathBuf;

use clap::Args;
use lockkeeper::{Runtime, RuntimeConfig};

use super::options::HostOptions;

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
            println!("{}", serde_json::to_string(&inspection)?);
            return Ok(0);
        }
        println!("{}", self.program.display());
        println!(
            "  runs as a command: {}",
            if inspection.is_command { "yes" } else { "no: it exports no wasi:cli/run" }
        );
        println!("  imports:");
        for import in &inspection.imports {
            println!("    {}{}", import.name, if import.known { "" } else { "    (this host does not have it)" });
        }
        let uses = |interface: &str| {
            inspection.imports.iter().any(|import| import.name.starts_with(&format!("lockkeeper:runtime/{interface}@")))
        };
        if uses("mutex") {
            println!("  wants locks: grant each with --lock NAME, or [lock.NAME] and `grants = {{ lock = [..] }}`");
        }
        if uses("append") {
            println!(
                "  wants append files: grant each with --append NAME=FILE, or [file.NAME] and `grants = {{ file = [..] }}`"
            );
        }
        Ok(0)
    }
}
