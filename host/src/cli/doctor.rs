//! `lockkeeper doctor`.

use std::path::Path;
use std::process::Command;

use clap::Args;
use lockkeeper::{AppendSpec, Durability, FileSpec, Format, JobSpec, LockSpec, Profile, Runtime, RuntimeConfig};

use super::build::installed_targets;
use super::options::HostOptions;
use super::output::print_line;
use super::python;

#[derive(Debug, Args)]
pub(super) struct Doctor {
    #[command(flatten)]
    host: HostOptions,
}

/// What was found: fine, or what to do.
type Finding = Result<String, String>;

impl Doctor {
    pub(super) fn execute(self) -> anyhow::Result<u8> {
        let checks: [(&str, Finding); 7] = [
            ("engine", engine()),
            ("state directory", self.state()),
            ("cache directory", self.cache()),
            ("file locks here", files()),
            ("cargo", version("cargo", "to build guests in Rust, install it from rustup.rs")),
            ("target wasm32-wasip2", target()),
            ("Python runner", self.python_runner()),
        ];
        let mut wrong = 0u8;
        for (what, finding) in &checks {
            if self.host.json {
                let (ok, text) = match finding {
                    Ok(text) => (true, text),
                    Err(text) => (false, text),
                };
                print_line(format_args!("{}", serde_json::json!({ "check": what, "ok": ok, "text": text })));
            } else {
                match finding {
                    Ok(text) => print_line(format_args!("ok     {what}: {text}")),
                    Err(text) => print_line(format_args!("wrong  {what}: {text}")),
                }
            }
            wrong += u8::from(finding.is_err());
        }
        Ok(wrong)
    }

    fn state(&self) -> Finding {
        let dir = self.host.state_dir().map_err(|error| format!("{error:#}"))?;
        let config = RuntimeConfig { shards: 1, state_dir: dir.clone(), ..RuntimeConfig::default() };
        let runtime = Runtime::new(config).map_err(|error| error.to_string())?;
        let locks = vec![LockSpec { name: "lockkeeper.doctor".to_owned(), ..LockSpec::default() }];
        match runtime.job(JobSpec { locks, ..JobSpec::default() }) {
            Ok(_) => Ok(format!("{}, fences can be reserved", dir.display())),
            Err(error) => Err(format!("{error}; choose another one with --state-dir")),
        }
    }

    fn cache(&self) -> Finding {
        let Some(dir) = self.host.cache_dir() else {
            return Ok("none; every start compiles".to_owned());
        };
        let config = RuntimeConfig { shards: 1, cache_dir: Some(dir.clone()), ..RuntimeConfig::default() };
        Runtime::new(config).map(|_| dir.display().to_string()).map_err(|error| error.to_string())
    }

    fn python_runner(&self) -> Finding {
        let find = || python::component(&self.host.needed_cache_dir()?);
        match find() {
            Ok(component) if component.exists() => Ok(component.display().to_string()),
            Ok(_) => Ok("the first Python program has it built, by python3".to_owned()),
            Err(error) => Ok(format!("none: {error:#}")),
        }
    }
}

fn engine() -> Finding {
    let runtime = Runtime::new(RuntimeConfig { shards: 1, ..RuntimeConfig::default() });
    let runtime = runtime.map_err(|error| error.to_string())?;
    let room = |profile| runtime.room(profile).map_err(|error| error.to_string());
    let (dense, image) = (room(Profile::Dense)?, room(Profile::Image)?);
    Ok(format!("starts, with room for {dense} processes at once (profile dense) or {image} (image)"))
}

/// Writes a record into an append file in the working directory and takes it away again.
fn files() -> Finding {
    let dir = tempfile::tempdir_in(".").map_err(|error| format!("nothing can be written here: {error}"))?;
    let runtime = Runtime::new(RuntimeConfig { shards: 1, ..RuntimeConfig::default() });
    let runtime = runtime.map_err(|error| error.to_string())?;
    let file = FileSpec::new(dir.path().join("doctor"), Format::Lines, "lockkeeper doctor");
    let spec = || JobSpec {
        files: vec![AppendSpec {
            name: "doctor".to_owned(),
            file: file.clone(),
            requires_lock: None,
            durability: Durability::default(),
        }],
        ..JobSpec::default()
    };
    let held = runtime.job(spec()).map_err(|error| error.to_string())?;
    match runtime.job(spec()) {
        Ok(_) => Err("a file could be opened twice: this file system does not lock; use a local one".to_owned()),
        Err(_) => {
            drop(held);
            Ok("a file has one writer".to_owned())
        }
    }
}

fn version(program: &str, hint: &str) -> Finding {
    let answer = Command::new(program).arg("--version").output();
    match answer {
        Ok(answer) if answer.status.success() => Ok(String::from_utf8_lossy(&answer.stdout).trim().to_owned()),
        _ => Err(format!("`{program}` does not answer; {hint}")),
    }
}

fn target() -> Finding {
    match installed_targets(Path::new(".")) {
        None => {
            Err("rustup does not answer, so this is unknown; `rustup target add wasm32-wasip2` installs it".to_owned())
        }
        Some(targets) if targets.lines().any(|line| line.trim() == "wasm32-wasip2") => Ok("installed".to_owned()),
        Some(_) => {
            Err("missing; `rustup target add wasm32-wasip2` installs it, and `run --build` does so by itself"
                .to_owned())
        }
    }
}
