//! Which process may name which lock, which value and which file.
//!
//! A job declares locks, values and files by name; a process reaches those that were granted to it and no others. For a process
//! "does not exist" and "was not granted" are the same answer.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use lockkeeper_journal::{AppendFile, Durability};
use lockkeeper_locks::{Array, Value};

use crate::name::Name;
use crate::observe::Kind;
use crate::scope::{Charge, ScopedLock};

/// What one process may name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rights {
    pub(crate) locks: HashMap<Name, Arc<ScopedLock>>,
    pub(crate) values: HashMap<Name, GrantedValue>,
    pub(crate) files: HashMap<Name, Arc<GrantedFile>>,
    /// Programs that it may start, `self` for its own.
    pub(crate) programs: HashSet<Name>,
}

/// Something that is to be passed on and is not there.
#[derive(Debug)]
pub(crate) struct NotGranted {
    pub(crate) kind: Kind,
    pub(crate) name: Name,
}

/// What is passed on by name.
#[derive(Debug, Default)]
pub(crate) struct Named {
    pub(crate) locks: Vec<Name>,
    pub(crate) values: Vec<Name>,
    pub(crate) files: Vec<Name>,
    pub(crate) programs: Vec<Name>,
}

impl Rights {
    /// All of these but for the objects that were made at run time, which are given one by one.
    pub(crate) fn inherited(&self) -> Self {
        let mut all = self.clone();
        all.locks.retain(|name, _| !name.is_object());
        all.values.retain(|name, _| !name.is_object());
        all
    }

    /// These of them and no others.
    pub(crate) fn narrowed(&self, to: Named) -> Result<Self, NotGranted> {
        let missing = |kind| move |name: &Name| NotGranted { kind, name: name.clone() };
        Ok(Self {
            locks: pick(&self.locks, to.locks).map_err(|name| missing(Kind::Lock)(&name))?,
            values: pick(&self.values, to.values).map_err(|name| missing(Kind::Value)(&name))?,
            files: pick(&self.files, to.files).map_err(|name| missing(Kind::File)(&name))?,
            programs: match to.programs.iter().find(|name| !self.programs.contains(*name)) {
                Some(name) => return Err(missing(Kind::Program)(name)),
                None => to.programs.into_iter().collect(),
            },
        })
    }

    /// Adds an object of another process's rights.
    pub(crate) fn give(&mut self, of: &Self, object: &Name) -> Result<(), NotGranted> {
        if let Some(lock) = of.locks.get(object) {
            self.locks.insert(object.clone(), lock.clone());
        } else if let Some(value) = of.values.get(object) {
            self.values.insert(object.clone(), value.clone());
        } else {
            return Err(NotGranted { kind: Kind::Lock, name: object.clone() });
        }
        Ok(())
    }
}

fn pick<T: Clone>(from: &HashMap<Name, T>, names: Vec<Name>) -> Result<HashMap<Name, T>, Name> {
    let picked = names.into_iter().map(|name| match from.get(&name) {
        Some(thing) => Ok((name, thing.clone())),
        None => Err(name),
    });
    picked.collect()
}

/// A value or an array of a job.
#[derive(Clone, Debug)]
pub(crate) struct GrantedValue {
    pub(crate) shared: Shared,
    /// The lock without which nobody changes it.
    pub(crate) requires: Option<Arc<ScopedLock>>,
    /// What it costs the job, if it was made at run time.
    pub(crate) _charge: Option<Arc<Charge>>,
}

#[derive(Clone, Debug)]
pub(crate) enum Shared {
    Value(Arc<Value>),
    Array(Arc<Array>),
}

/// An append file of a job.
#[derive(Debug)]
pub(crate) struct GrantedFile {
    pub(crate) name: Name,
    pub(crate) file: Arc<AppendFile>,
    /// The lock without which nobody writes.
    pub(crate) requires: Option<Arc<ScopedLock>>,
    /// What a record survives before its append returns, unless the process asks for something else.
    pub(crate) durability: Durability,
    /// Whether its records may have ids.
    pub(crate) has_ids: bool,
}
