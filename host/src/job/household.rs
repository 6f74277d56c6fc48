//! What the processes of a job may ask it for: other processes, and objects.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lockkeeper_locks::{Array, Kind as TableKind, ScalarKind, Scalars, Value};

use super::{Origin, Shared, Start};
use crate::grants::{GrantedValue, Shared as SharedValue};
use crate::name::Name;
use crate::process::family::{Berth, Child, Content, Household, MakeRefused, Request, SpawnRefused};
use crate::process::{Commit, Identity, ProcessSpec};
use crate::program::Program;
use crate::scope::{ScopedLock, TooMuch};

/// A process that may be asked to start others is called so: with its own program.
pub(crate) const OWN_PROGRAM: &str = "self";

/// The job as one process sees it.
pub(super) struct OfProcess {
    pub(super) job: Arc<Shared>,
    /// How this process was started, if it may start others.
    pub(super) parent: Option<Box<(Program, ProcessSpec)>>,
}

impl Household for OfProcess {
    fn spawn(&self, parent: &Identity, request: Request) -> Result<Child, SpawnRefused> {
        let Request { program, args, start_data, env, rights, dirs, name, orphans, memory_bytes, timeout } = request;
        let Some((own, spec)) = self.parent.as_deref() else {
            return Err(SpawnRefused::Host(format!("`{}` was granted no program", parent.name)));
        };
        if spec.commit == Commit::AtEnd {
            return Err(SpawnRefused::HeldBack);
        }
        let depth_max = spec.limits.depth_max.checked_sub(1).ok_or(SpawnRefused::Depth)?;
        let program = match program.as_str() {
            OWN_PROGRAM => own,
            name => self.job.programs.get(name).expect("only programs of the job are granted"),
        };
        let berth = Berth::take(&self.job.started_by_processes, self.job.limits.processes_max);
        let berth = berth.ok_or(SpawnRefused::Processes)?;
        let all_dirs = || Ok(spec.dirs.clone());
        let dirs = dirs.map_or_else(all_dirs, |dirs| {
            let grant = |name: String| match spec.dirs.iter().find(|dir| dir.guest == name) {
                Some(dir) => Ok(dir.clone()),
                None => Err(SpawnRefused::NoSuchDir),
            };
            dirs.into_iter().map(grant).collect()
        })?;
        let mut limits = spec.limits.clone();
        limits.depth_max = depth_max;
        limits.memory_bytes_max = memory_bytes.map_or(limits.memory_bytes_max, |max| max.min(limits.memory_bytes_max));
        limits.timeout = match (timeout, limits.timeout) {
            (Some(timeout), Some(max)) => Some(timeout.min(max)),
            (timeout, max) => timeout.or(max),
        };
        let id = self.job.host.next_process();
        let name = name.map_or_else(
            || format!("{}/{}-{id}", parent.name, program.name().trim_end_matches(".wasm")),
            |name| name.to_string(),
        );
        let names = |names: Vec<&Name>| names.into_iter().map(Name::to_string).collect::<Vec<_>>();
        let spec = ProcessSpec {
            name,
            rank: 0,
            count: 1,
            args,
            start_data,
            env: env.unwrap_or_else(|| spec.env.clone()),
            dirs,
            // The first decides where it lives.
            locks: names(rights.locks.keys().collect()),
            programs: names(rights.programs.iter().collect()),
            limits,
            // Files that its parent prints into are not emptied by it.
            stdin: None,
            stdout: None,
            stderr: None,
            commit_id: None,
            commit_turn: None,
            ..spec.clone()
        };
        let exit = TableKind::Exit { of: id.owner(), since: Instant::now() };
        let exit = self.job.host.scope.create_unbound(Name::end_of(id.get()), exit, None);
        let origin = Origin { id, parent: Some(parent.id), exit: Some(exit.clone()), berth: Some(berth) };
        let process = Shared::start(&self.job, program, &spec, rights, origin, Start::default());
        let process = process.map_err(|error| {
            // It has made no request, and makes none.
            self.job.host.scope.table().forget_owner(id.owner());
            SpawnRefused::Host(error.to_string())
        })?;
        Ok(Child { id, control: process.control, exit, orphans })
    }

    fn end_within(&self, child: &Child, grace: Duration) {
        // A grace too long to be counted never ends.
        if let Some(at) = Instant::now().checked_add(grace) {
            self.job.host.ticker.kill_at(child.id, &child.control, at);
        }
    }

    fn make_lock(&self, kind: TableKind) -> Result<Arc<ScopedLock>, TooMuch> {
        let budget = &self.job.budget;
        let bytes = match kind {
            TableKind::Queue(config) => config.bytes_max,
            _ => 0,
        };
        let charge = budget.charge(bytes)?;
        let lock = self.job.host.scope.create_unbound(budget.next_id(), kind, Some(charge));
        if self.job.watch.add_lock(&lock) {
            self.job.host.ticker.watch(&self.job.watch);
        }
        Ok(lock)
    }

    fn make_value(&self, content: Content) -> Result<(Name, GrantedValue), MakeRefused> {
        let budget = &self.job.budget;
        let charge = |bytes| budget.charge(bytes).map(Arc::new).map_err(MakeRefused::TooMuch);
        let (shared, charge) = match content {
            Content::Value { initial, bytes_max } => {
                let charge = charge(u64::from(bytes_max))?;
                (SharedValue::Value(Arc::new(Value::new(initial, bytes_max).map_err(MakeRefused::Value)?)), charge)
            }
            Content::Array { kind, length } => {
                let size = if kind == ScalarKind::Bytes { 1 } else { 8 };
                // Before it is made: a guest says how long it is.
                let charge = charge(u64::from(length) * size)?;
                (SharedValue::Array(Arc::new(Array::from_scalars(Scalars::zeroed(kind, length)))), charge)
            }
        };
        Ok((budget.next_id(), GrantedValue { shared, requires: None, _charge: Some(charge) }))
    }
}
