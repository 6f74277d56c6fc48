//! `lockkeeper run`.

use std::collections::HashMap;
use std::path::PathBuf;

use anyhow::bail;
use clap::{Args, ValueEnum};
use lockkeeper::manifest::{Manifest, expand};
use lockkeeper::{Placement, ProcessSpec};

use super::options::{GrantOptions, HostOptions, processes};
use super::output::Tags;
use super::python::{Loader, PythonOptions};
use super::session::{ExitCodes, Plan, Session, View};
use super::{build, environment, python};

#[derive(Debug, Args)]
pub(super) struct Run {
    /// A program (component, or WASI 0.1 core module), a Python program (.py), or a manifest (.toml)
    #[arg(value_name = "PROGRAM.wasm|PROGRAM.py|JOB.toml")]
    what: PathBuf,
    /// Processes of the program
    #[arg(short = 'n', long = "processes", value_name = "N", value_parser = processes)]
    count: Option<u32>,
    /// Run the manifest's build commands first; adds a missing wasm target by itself
    #[arg(long)]
    build: bool,
    /// Where the program's processes run: all on the core that is home to the first lock, or `spread` over all cores, which
    /// is for those that compute much between locks [default: home; spread for Python programs]
    #[arg(long, value_enum, value_name = "WHERE")]
    placement: Option<PlacementOption>,
    /// Arguments of the program; `{rank}` and `{count}` stand for the process's own
    #[arg(last = true, value_name = "ARGS")]
    args: Vec<String>,
    #[command(flatten)]
    python: PythonOptions,
    #[command(flatten)]
    grants: GrantOptions,
    #[command(flatten)]
    host: HostOptions,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum PlacementOption {
    Home,
    Spread,
}

impl Run {
    pub(super) fn execute(self) -> anyhow::Result<u8> {
        if self.what.extension().is_some_and(|extension| extension == "toml") {
            self.manifest()
        } else {
            self.program()
        }
    }

    /// Refuses flags for Python programs where there is none; and notes whether there is one.
    fn runs_python(&mut self, is_there_one: bool) -> anyhow::Result<()> {
        if let (Some(flag), false) = (self.python.flag(), is_there_one) {
            bail!("{flag} goes with a Python program; {} is none", self.what.display());
        }
        self.host.runs_python = is_there_one;
        Ok(())
    }

    fn program(mut self) -> anyhow::Result<u8> {
        self.runs_python(python::is_script(&self.what))?;
        if self.build {
            bail!("--build goes with a manifest, which says how to build; {} is a program", self.what.display());
        }
        if self.grants.timeout_percent().is_some() {
            bail!("--timeout: a percentage of the median goes with map; give a time, such as 60s");
        }
        let count = self.count.unwrap_or(1);
        let mut job = self.grants.job()?;
        let programs = self.grants.programs()?;
        let spec = self.grants.process(&job, &self.what)?;
        let placement = match self.placement {
            None => python::placement_of(&self.what),
            Some(PlacementOption::Home) => Placement::Home,
            Some(PlacementOption::Spread) => Placement::Spread,
        };
        job.limits = python::job_limits(self.host.runs_python);
        let session =
            Session::start(&self.host, self.grants.lock_limits(), Tags::Shown, count as usize, count as usize)?;
        job.programs = session.load_all(programs)?;
        let program = Loader::new(&session, &self.host, &self.python)?.load(&self.what)?;
        let name = self.what.file_stem().map_or_else(|| "process".into(), |stem| stem.to_string_lossy()).into_owned();
        let processes = (0..count).map(|rank| {
            let args = self.args.iter().map(|text| expand(text, rank, count)).collect();
            let spec = ProcessSpec { name: name.clone(), rank, count, args, placement, ..spec.clone() };
            program.prepare(self.grants.streams(spec))
        });
        let view = if count == 1 && !self.host.json { View::Raw } else { View::Tagged };
        let processes = processes.collect::<anyhow::Result<Vec<_>>>()?;
        session.run(Plan { job, at_once: processes.len(), exit_code: exit_code(processes.len()), processes, view })
    }

    fn manifest(mut self) -> anyhow::Result<u8> {
        if self.placement.is_some() {
            bail!("--placement goes with a program; a manifest says it itself: placement = \"spread\" in [[process]]");
        }
        if self.count.is_some() || !self.args.is_empty() {
            bail!("-n and ARGS go with a program; a manifest says `count` and `args` itself");
        }
        if self.grants != GrantOptions::default() {
            bail!("grants and limits go with a program; a manifest says them itself, under `grants` and `limits`");
        }
        let manifest = Manifest::read(&self.what)?;
        self.runs_python(manifest.programs().any(python::is_script))?;
        let defaults = python::defaults(self.host.runs_python);
        let mut plan = manifest.plan_with(&environment::command_line(), &defaults)?;
        if self.build {
            build::run_all(&manifest)?;
        }
        let count = plan.processes.len();
        let session = Session::start(&self.host, plan.lock_limits, Tags::Shown, count, count)?;
        plan.job.programs = session.load_all(plan.programs).map_err(|error| self.hint_build(&manifest, error))?;
        let loader = Loader::new(&session, &self.host, &self.python)?;
        let mut programs = HashMap::new();
        let mut processes = Vec::new();
        for planned in plan.processes {
            let program = match programs.get(&planned.program) {
                Some(program) => program,
                None => {
                    let program = loader.load(&planned.program).map_err(|error| self.hint_build(&manifest, error))?;
                    programs.entry(planned.program.clone()).or_insert(program)
                }
            };
            processes.push(program.prepare(planned.spec)?);
        }
        let view = if processes.len() == 1 && !self.host.json { View::Raw } else { View::Tagged };
        let (at_once, exit_code) = (processes.len(), exit_code(processes.len()));
        session.run(Plan { job: plan.job, at_once, exit_code, processes, view })
    }

    fn hint_build(&self, manifest: &Manifest, error: anyhow::Error) -> anyhow::Error {
        let missing = matches!(error.downcast_ref(), Some(lockkeeper::ProgramError::Missing { .. }));
        match (missing && !manifest.builds().is_empty(), self.build) {
            (true, false) => anyhow::anyhow!("{error} (`lockkeeper run --build {}` builds it)", self.what.display()),
            (true, true) => anyhow::anyhow!("{error} (the manifest's build commands ran, but did not put it there)"),
            (false, _) => error,
        }
    }
}

fn exit_code(processes: usize) -> ExitCodes {
    if processes == 1 { ExitCodes::OfTheProcess } else { ExitCodes::Failures }
}
