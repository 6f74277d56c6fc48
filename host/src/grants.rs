//! Which process may name which lock, which value and which file.
//!
//! A job declares locks, values and files by name; a process reaches those that were granted to it and no others. For a process
//! "does not exist" and "was not granted" are the same answer.

use std::collections::HashMap;
use std::sync::Arc;

use lockkeeper_journal::{AppendFile, Durability};
use lockkeeper_locks::{Array, Value};

use crate::name::Name;
use crate::scope::ScopedLock;

/// What one process may name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rights {
    pub(crate) locks: HashMap<Name, Arc<ScopedLock>>,
    pub(crate) values: HashMap<Name, GrantedValue>,
    pub(crate) files: HashMap<Name, Arc<GrantedFile>>,
}

/// A value or an array of a job.
#[derive(Clone, Debug)]
pub(crate) struct GrantedValue {
    pub(crate) shared: Shared,
    /// The lock without which nobody changes it.
    pub(crate) requires: Option<Arc<ScopedLock>>,
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
