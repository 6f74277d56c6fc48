//! `lockkeeper:runtime/process`.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use wasmtime::component::Resource;

use super::Refusal;
use crate::bindings::lockkeeper::runtime::process::{self as wit, Host, HostChild, Identity, Options};
use crate::bindings::lockkeeper::runtime::types;
use crate::grants::{Named, NotGranted, Rights};
use crate::name::Name;
use crate::observe::{Kind, Outcome};
use crate::process::ProcessState;
use crate::process::family::{Child, Orphans, Request, SpawnRefused};

/// What a guest's handle of a child stands for.
#[derive(Debug)]
pub struct ChildHandle(Child);

/// How long a child that was asked to end has for it, where its parent does not say.
const GRACE: Duration = Duration::from_secs(5);

impl Host for ProcessState {
    fn current(&mut self) -> wasmtime::Result<Identity> {
        Ok(Identity {
            id: self.identity.id.get(),
            rank: self.identity.rank,
            count: self.identity.count,
            name: self.identity.name.to_string(),
            parent: self.identity.parent.map(|parent| parent.get()),
        })
    }

    fn start_data(&mut self) -> wasmtime::Result<Vec<u8>> {
        Ok(self.start_data.clone())
    }

    fn children(&mut self) -> wasmtime::Result<Vec<types::ProcessId>> {
        Ok(self.children.ids().into_iter().map(|child| child.get()).collect())
    }
}

impl HostChild for ProcessState {
    fn spawn(&mut self, program: String, options: Options) -> Result<Resource<ChildHandle>, Refusal> {
        self.actor.proceed()?;
        self.room_for_handle()?;
        let request = self.request(&program, options)?;
        if self.children.count() >= self.children_max as usize {
            return Err(types::Error::Limit(types::LimitKind::Processes).into());
        }
        let child = self.household.spawn(&self.identity, request).map_err(|refused| self.not_started(refused))?;
        self.children.add(child.clone());
        self.open_handle(ChildHandle(child))
    }

    fn pid(&mut self, child: Resource<ChildHandle>) -> wasmtime::Result<types::ProcessId> {
        Ok(self.table.get(&child)?.0.id.get())
    }

    async fn join(
        &mut self,
        child: Resource<ChildHandle>,
        timeout: Option<types::Duration>,
    ) -> Result<wit::Outcome, Refusal> {
        let child = &self.table.get(&child)?.0;
        let asked = Instant::now();
        if child.exit().is_none() {
            self.actor.proceed()?;
            let waited = self.actor.scope.table().wait_exit(self.owner(), child.exit.id, asked);
            let waited = match waited {
                Ok(passage) => self.actor.pass(&child.exit, passage, asked, timeout).await,
                Err(error) => Err(error),
            };
            waited.map_err(|error| self.actor.refused(&child.exit, error))?;
        }
        ended(child).ok_or_else(|| types::Error::StillRunning.into())
    }

    fn try_join(&mut self, child: Resource<ChildHandle>) -> wasmtime::Result<Option<wit::Outcome>> {
        Ok(ended(&self.table.get(&child)?.0))
    }

    fn outcome(&mut self, child: Resource<ChildHandle>) -> Result<wit::Outcome, Refusal> {
        ended(&self.table.get(&child)?.0).ok_or_else(|| types::Error::StillRunning.into())
    }

    fn terminate(&mut self, child: Resource<ChildHandle>, grace: Option<types::Duration>) -> wasmtime::Result<()> {
        let child = &self.table.get(&child)?.0;
        self.actor.scope.table().doom_owner(child.id.owner());
        child.control.terminate();
        self.household.end_within(child, grace.map_or(GRACE, Duration::from_nanos));
        Ok(())
    }

    fn kill(&mut self, child: Resource<ChildHandle>) -> wasmtime::Result<()> {
        let child = &self.table.get(&child)?.0;
        self.actor.scope.table().doom_owner(child.id.owner());
        child.control.stop(crate::process::control::Stop::Killed);
        Ok(())
    }

    fn drop(&mut self, child: Resource<ChildHandle>) -> wasmtime::Result<()> {
        self.close_handle(child)
    }
}

impl ProcessState {
    /// A child as it is wanted, with rights that this process has itself.
    fn request(&mut self, program: &str, options: Options) -> Result<Request, Refusal> {
        let Options { args, start, env, grants, objects, name, orphans, memory_bytes, timeout } = options;
        let program = Name::new(program)?;
        if !self.rights.programs.contains(&program) {
            return Err(self.deny(Kind::Program, program, None));
        }
        if let Some((key, _)) = env.iter().flatten().find(|(key, _)| key.is_empty() || key.contains(['=', '\0'])) {
            let why = format!("env: {key:?} is no name of a variable; it has to be one or more characters without `=`");
            return Err(types::Error::InvalidArgument(why).into());
        }
        let (mut rights, dirs) = match grants {
            None => (self.rights.inherited(), None),
            Some(grants) => {
                let (named, dirs) = named(grants)?;
                (self.narrowed(named)?, Some(dirs))
            }
        };
        for object in objects.into_iter().collect::<HashSet<_>>() {
            let object = Name::asked(&object)?;
            rights.give(&self.rights, &object).map_err(|missing| self.not_granted(missing))?;
        }
        Ok(Request {
            program,
            args,
            start_data: start,
            env,
            rights,
            dirs,
            name: name.as_deref().map(Name::new).transpose()?,
            orphans: match orphans {
                wit::Orphans::End => Orphans::End,
                wit::Orphans::Adopt => Orphans::Adopt,
            },
            memory_bytes,
            timeout: timeout.map(Duration::from_nanos),
        })
    }

    fn narrowed(&mut self, named: Named) -> Result<Rights, Refusal> {
        self.rights.narrowed(named).map_err(|missing| self.not_granted(missing))
    }

    fn not_granted(&mut self, missing: NotGranted) -> Refusal {
        self.deny(missing.kind, missing.name, None)
    }

    fn not_started(&self, refused: SpawnRefused) -> Refusal {
        match refused {
            SpawnRefused::Processes => types::Error::Limit(types::LimitKind::Processes),
            SpawnRefused::Depth => types::Error::Limit(types::LimitKind::Depth),
            SpawnRefused::NoSuchDir => types::Error::Denied,
            SpawnRefused::HeldBack => types::Error::Unavailable(
                "the records of this process are held back until it ends well, and those of a child would not be"
                    .to_owned(),
            ),
            SpawnRefused::Host(why) => types::Error::Unavailable(why),
        }
        .into()
    }
}

fn named(grants: wit::Grants) -> Result<(Named, Vec<String>), Refusal> {
    let names = |names: Vec<String>| names.iter().map(|name| Name::asked(name)).collect::<Result<Vec<_>, _>>();
    let wit::Grants { locks, values, files, dirs, programs } = grants;
    let named =
        Named { locks: names(locks)?, values: names(values)?, files: names(files)?, programs: names(programs)? };
    Ok((named, dirs))
}

/// How a child ended, if it has.
fn ended(child: &Child) -> Option<wit::Outcome> {
    Some(wit::Outcome::from(&child.exit()?.outcome))
}

impl From<&Outcome> for wit::Outcome {
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Returned | Outcome::Failed | Outcome::Exited { .. } => Self::Exited(outcome.exit_code()),
            Outcome::Trapped { message } => Self::Trapped(message.clone()),
            Outcome::StackOverflow => Self::Trapped(outcome.to_string()),
            Outcome::OutOfMemory { .. } => Self::Limit(types::LimitKind::Memory),
            Outcome::TimedOut { .. } => Self::Limit(types::LimitKind::Time),
            Outcome::Killed | Outcome::Orphaned => Self::Killed,
            Outcome::StatusOutOfRange { .. } | Outcome::Stalled | Outcome::ShutDown | Outcome::HostFault { .. } => {
                Self::Other(outcome.to_string())
            }
        }
    }
}
