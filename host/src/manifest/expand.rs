//! From what a manifest says to what a host opens and starts.

use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use lockkeeper_locks::Limits as LockLimits;
use toml::Spanned;

use super::diagnose::{at, unknown_word};
use super::{JobLimitsTable, LimitsTable, Manifest, ManifestError, ProcessTable};
use crate::byte_size::ByteSize;
use crate::job::{JobLimits, JobSpec, OWN_PROGRAM};
use crate::name::Name;
use crate::process::{Access, DirGrant, Limits, Placement, ProcessSpec};

/// The most processes of one `[[process]]`, or of one program: what the profile `dense` is made for. Whether the system has
/// room for them is asked before they start.
pub const COUNT_MAX: u32 = 100_000;

/// A job and the processes that are to run in it.
#[derive(Debug)]
pub struct PlannedJob {
    /// Its locks, values and files. Its programs are still to be loaded.
    pub job: JobSpec,
    /// The programs that its processes may start: what they are called, and where they are.
    pub programs: Vec<(String, PathBuf)>,
    /// What its host is to keep to, which is one for all jobs of a host.
    pub lock_limits: LockLimits,
    /// Its processes, in the manifest's order, each group by rank.
    pub processes: Vec<PlannedProcess>,
}

/// What a manifest leaves unsaid.
#[derive(Clone, Debug)]
pub struct Defaults {
    /// The limits of the job.
    pub job: JobLimits,
    /// The limits of a process of the program at this path.
    pub process: fn(&Path) -> Limits,
    /// Where it lives.
    pub placement: fn(&Path) -> Placement,
}

impl Default for Defaults {
    fn default() -> Self {
        Self { job: JobLimits::default(), process: |_| Limits::default(), placement: |_| Placement::default() }
    }
}

/// One process of a planned job.
#[derive(Debug)]
pub struct PlannedProcess {
    /// Where its program is.
    pub program: PathBuf,
    /// What it is to be. Its standard streams are for the caller to choose.
    pub spec: ProcessSpec,
}

impl Manifest {
    /// Checks that everything fits together, and plans the job. `holder` is what another host is told that wants one of
    /// the files meanwhile: who writes it, such as the command line.
    pub fn plan(&self, holder: &str) -> Result<PlannedJob, ManifestError> {
        self.plan_with(holder, &Defaults::default())
    }

    /// [`plan`](Self::plan), with other limits where the manifest says none.
    pub fn plan_with(&self, holder: &str, defaults: &Defaults) -> Result<PlannedJob, ManifestError> {
        if self.process.is_empty() {
            return Err(at(&self.source, 0..0, "there is no [[process]] to run; describe at least one".to_owned()));
        }
        let mut job = JobSpec::default();
        for (name, lock) in &self.lock {
            self.check_name(name)?;
            job.locks.push(lock.plan(self, name)?);
        }
        for (name, value) in &self.value {
            self.check_name(name)?;
            job.values.push(value.plan(self, name)?);
        }
        for (name, file) in &self.file {
            self.check_name(name)?;
            job.files.push(file.plan(self, name, holder)?);
        }
        job.limits = self.job_limits(defaults.job);
        let mut programs = Vec::new();
        for (name, program) in &self.program {
            self.check_name(name)?;
            if name.get_ref() == OWN_PROGRAM {
                let message = "`self` is each process's own program; grant it, and declare no other of that name";
                return Err(at(&self.source, name.span(), message.to_owned()));
            }
            programs.push((name.get_ref().clone(), self.resolve(&program.path)));
        }
        let mut processes = Vec::new();
        for (index, process) in self.process.iter().enumerate() {
            self.check_name(&process.name)?;
            if self.process[..index].iter().any(|other| other.name.get_ref() == process.name.get_ref()) {
                let message = format!("two processes are called `{}`; give one another name", process.name.get_ref());
                return Err(at(&self.source, process.name.span(), message));
            }
            self.plan_process(process, defaults, &mut processes)?;
        }
        Ok(PlannedJob { job, programs, lock_limits: self.lock_limits()?, processes })
    }

    fn check_name(&self, name: &Spanned<String>) -> Result<(), ManifestError> {
        match Name::new(name.get_ref()) {
            Ok(_) => Ok(()),
            Err(error) => Err(at(&self.source, name.span(), error.to_string())),
        }
    }

    fn job_limits(&self, default: JobLimits) -> JobLimits {
        let JobLimitsTable { started, objects, object_bytes, .. } = &self.limits;
        JobLimits {
            processes_max: started.unwrap_or(default.processes_max),
            objects_max: objects.unwrap_or(default.objects_max),
            object_bytes_max: object_bytes.map_or(default.object_bytes_max, |size| size.0.0),
        }
    }

    fn lock_limits(&self) -> Result<LockLimits, ManifestError> {
        let JobLimitsTable { holds, waiters, .. } = &self.limits;
        let mut limits = LockLimits::default();
        for (key, limit) in [(holds, &mut limits.holds_per_owner_max), (waiters, &mut limits.waiters_per_lock_max)] {
            match key {
                Some(number) if *number.get_ref() == 0 => {
                    let message = "with 0 nobody could get a lock; give it at least 1".to_owned();
                    return Err(at(&self.source, number.span(), message));
                }
                Some(number) => *limit = *number.get_ref(),
                None => {}
            }
        }
        Ok(limits)
    }

    /// A lock that somebody can hold alone, for what is bound to it.
    pub(super) fn exclusive(&self, what: &str, lock: &Spanned<String>) -> Result<String, ManifestError> {
        let known = self.known("lock", lock, self.lock.keys())?;
        let of = self.lock.iter().find(|(name, _)| **name.get_ref() == known);
        match of.map(|(_, table)| table.kind()).filter(|kind| !kind.is_exclusive()) {
            None => Ok(known),
            Some(kind) => {
                let is = kind.with_article();
                let message =
                    format!("`{known}` is {is}, which nobody holds alone; bind {what} to a mutex, rlock or rwlock");
                Err(at(&self.source, lock.span(), message))
            }
        }
    }

    pub(super) fn known<'a>(
        &self,
        kind: &str,
        name: &Spanned<String>,
        known: impl Iterator<Item = &'a Spanned<String>>,
    ) -> Result<String, ManifestError> {
        let known: Vec<&str> = known.map(|name| name.get_ref().as_str()).collect();
        if known.contains(&name.get_ref().as_str()) {
            return Ok(name.get_ref().clone());
        }
        Err(at(&self.source, name.span(), unknown_word(kind, name.get_ref(), &known)))
    }

    fn plan_process(
        &self,
        process: &ProcessTable,
        defaults: &Defaults,
        planned: &mut Vec<PlannedProcess>,
    ) -> Result<(), ManifestError> {
        let count = match &process.count {
            None => 1,
            Some(count) if (1..=COUNT_MAX).contains(count.get_ref()) => *count.get_ref(),
            Some(count) => {
                let message = format!("count = {} is out of range; 1 to {COUNT_MAX} can be run", count.get_ref());
                return Err(at(&self.source, count.span(), message));
            }
        };
        let mut locks = Vec::new();
        for lock in &process.grants.lock {
            locks.push(self.known("lock", lock, self.lock.keys())?);
        }
        let mut values = Vec::new();
        for value in &process.grants.value {
            values.push(self.known("value", value, self.value.keys())?);
        }
        let mut files = Vec::new();
        for file in &process.grants.file {
            files.push(self.known("file", file, self.file.keys())?);
        }
        let mut programs = Vec::new();
        for program in &process.grants.program {
            if program.get_ref() == OWN_PROGRAM {
                programs.push(OWN_PROGRAM.to_owned());
            } else {
                programs.push(self.known("program", program, self.program.keys())?);
            }
        }
        let mut dirs = Vec::new();
        for dir in &process.grants.dir {
            dirs.push(self.dir_grant(dir)?);
        }
        let limits = self.limits(&process.limits, (defaults.process)(&process.program))?;
        let placement = process.placement.map_or_else(|| (defaults.placement)(&process.program), Placement::from);
        for rank in 0..count {
            let stream = |path: &Option<String>| Some(self.resolve(expand(path.as_ref()?, rank, count)));
            let expand = |text: &String| expand(text, rank, count);
            let spec = ProcessSpec {
                name: process.name.get_ref().clone(),
                rank,
                count,
                args: process.args.iter().map(expand).collect(),
                env: process.env.iter().map(|(key, value)| (key.clone(), expand(value))).collect(),
                dirs: dirs.clone(),
                inputs: process.inputs.iter().map(|input| self.resolve(expand(input))).collect(),
                locks: locks.clone(),
                values: values.clone(),
                files: files.clone(),
                programs: programs.clone(),
                random: process.grants.random,
                clocks: process.grants.clocks,
                limits: limits.clone(),
                stdin: stream(&process.stdin),
                stdout: stream(&process.stdout),
                stderr: stream(&process.stderr),
                placement,
                ..ProcessSpec::default()
            };
            planned.push(PlannedProcess { program: self.resolve(&process.program), spec });
        }
        Ok(())
    }

    fn limits(&self, table: &LimitsTable, mut limits: Limits) -> Result<Limits, ManifestError> {
        if let Some(memory) = table.memory {
            limits.memory_bytes_max = memory.0;
        }
        limits.timeout = table.timeout;
        limits.table_elements_max = table.table_elements.unwrap_or(limits.table_elements_max);
        limits.tables_max = table.tables.unwrap_or(limits.tables_max);
        limits.memories_max = table.memories.unwrap_or(limits.memories_max);
        if let Some(share) = &table.cpu_share {
            let checked = check_cpu_share(*share.get_ref());
            limits.cpu_share_percent = checked.map_err(|message| at(&self.source, share.span(), message))?;
        }
        limits.handles_max = table.handles.unwrap_or(limits.handles_max);
        limits.open_files_max = table.open_files.unwrap_or(limits.open_files_max);
        if let Some(call) = table.call {
            limits.call_bytes_max = call.as_usize();
        }
        if let Some(output) = table.output {
            limits.output_bytes_max = output.0;
        }
        if let Some(rate) = &table.output_rate {
            let checked = check_output_rate(rate.get_ref().0);
            limits.output_rate_max = Some(checked.map_err(|message| at(&self.source, rate.span(), message))?);
        }
        limits.append_bytes_max = table.append_bytes.map(|max| max.0);
        limits.append_records_max = table.append_records;
        limits.children_max = table.children.unwrap_or(limits.children_max);
        limits.depth_max = table.depth.unwrap_or(limits.depth_max);
        Ok(limits)
    }

    /// `HOST[::GUEST][:read-only]`.
    fn dir_grant(&self, grant: &Spanned<String>) -> Result<DirGrant, ManifestError> {
        let mut dir = parse_dir(grant.get_ref()).map_err(|message| at(&self.source, grant.span(), message))?;
        dir.host = self.resolve(&dir.host);
        Ok(dir)
    }
}

/// Reads `HOST[::GUEST][:read-only|:read-write]`: the host's directory, what the guest calls it, what it may do there.
pub fn parse_dir(text: &str) -> Result<DirGrant, String> {
    let (paths, access) = match text.rsplit_once(':') {
        Some((paths, "read-only")) => (paths, Access::ReadOnly),
        Some((paths, "read-write")) => (paths, Access::ReadWrite),
        _ => (text, Access::ReadWrite),
    };
    let (host, guest) = paths.split_once("::").unwrap_or((paths, paths));
    if host.is_empty() || guest.is_empty() || guest.contains(':') {
        // A misspelt `read-only` must not become a part of a name, and the grant one for writing.
        return Err(format!("`{text}` is no directory grant; write HOST[::GUEST][:read-only]"));
    }
    Ok(DirGrant { host: host.into(), guest: guest.to_owned(), access })
}

/// Puts a process's own rank and the size of its group where a text says `{rank}` and `{count}`.
pub fn expand(text: &str, rank: u32, count: u32) -> String {
    text.replace("{rank}", &rank.to_string()).replace("{count}", &count.to_string())
}

/// A share of a core of which a process has some.
pub fn check_cpu_share(percent: u8) -> Result<u8, String> {
    if (1..=100).contains(&percent) { Ok(percent) } else { Err("give 1 to 100, in percent of a full share".to_owned()) }
}

/// A rate at which something can be printed.
pub fn check_output_rate(per_second: ByteSize) -> Result<NonZeroU64, String> {
    NonZeroU64::new(per_second.0).ok_or_else(|| "with 0 nothing can be printed; give it some bytes a second".to_owned())
}
