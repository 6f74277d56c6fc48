//! `lockkeeper:runtime/value`: values and arrays.

use std::sync::Arc;

use lockkeeper_locks::{self as locks, ValueError};
use wasmtime::component::Resource;

use super::Refusal;
use crate::bindings::lockkeeper::runtime::types;
use crate::bindings::lockkeeper::runtime::value::{Exchanged, Host, HostArray, HostValue, Scalar, Scalars};
use crate::grants::{GrantedValue, Shared};
use crate::name::Name;
use crate::observe::Kind;
use crate::process::ProcessState;
use crate::scope::ScopedLock;

/// What a guest's handle of a value stands for.
#[derive(Debug)]
pub struct ValueHandle {
    value: Arc<locks::Value>,
    requires: Option<Arc<ScopedLock>>,
}

/// What a guest's handle of an array stands for.
#[derive(Debug)]
pub struct ArrayHandle {
    array: Arc<locks::Array>,
    requires: Option<Arc<ScopedLock>>,
}

impl Host for ProcessState {}

impl HostValue for ProcessState {
    fn open(&mut self, name: String) -> Result<Resource<ValueHandle>, Refusal> {
        let (shared, requires) = self.shared(Kind::Value, &name)?;
        match shared {
            Shared::Value(value) => self.open_handle(ValueHandle { value, requires }),
            Shared::Array(_) => Err(self.deny(Kind::Value, Name::asked(&name)?, Some(Kind::Array))),
        }
    }

    fn get(&mut self, value: Resource<ValueHandle>) -> wasmtime::Result<Scalar> {
        Ok(self.table.get(&value)?.value.get().into())
    }

    fn set(&mut self, value: Resource<ValueHandle>, to: Scalar) -> Result<Scalar, Refusal> {
        let ValueHandle { value, requires } = self.table.get(&value)?;
        Ok(match requires {
            None => value.set(to.into())?,
            Some(lock) => value.set_if(to.into(), || self.must_hold(lock))?,
        }
        .into())
    }

    fn add(&mut self, value: Resource<ValueHandle>, delta: Scalar) -> Result<Scalar, Refusal> {
        let ValueHandle { value, requires } = self.table.get(&value)?;
        Ok(match requires {
            None => value.add(&delta.into())?,
            Some(lock) => value.add_if(&delta.into(), || self.must_hold(lock))?,
        }
        .into())
    }

    fn compare_exchange(
        &mut self,
        value: Resource<ValueHandle>,
        expected: Scalar,
        to: Scalar,
    ) -> Result<Exchanged, Refusal> {
        let ValueHandle { value, requires } = self.table.get(&value)?;
        let (done, previous) = match requires {
            None => value.compare_exchange(&expected.into(), to.into())?,
            Some(lock) => value.compare_exchange_if(&expected.into(), to.into(), || self.must_hold(lock))?,
        };
        Ok(Exchanged { done, previous: previous.into() })
    }

    fn drop(&mut self, value: Resource<ValueHandle>) -> wasmtime::Result<()> {
        self.close_handle(value)
    }
}

impl HostArray for ProcessState {
    fn open(&mut self, name: String) -> Result<Resource<ArrayHandle>, Refusal> {
        let (shared, requires) = self.shared(Kind::Array, &name)?;
        match shared {
            Shared::Array(array) => self.open_handle(ArrayHandle { array, requires }),
            Shared::Value(_) => Err(self.deny(Kind::Array, Name::asked(&name)?, Some(Kind::Value))),
        }
    }

    fn length(&mut self, array: Resource<ArrayHandle>) -> wasmtime::Result<u32> {
        Ok(self.table.get(&array)?.array.len())
    }

    fn get(&mut self, array: Resource<ArrayHandle>, start: u32, count: u32) -> Result<Scalars, Refusal> {
        Ok(self.table.get(&array)?.array.get(start, count)?.into())
    }

    fn set(&mut self, array: Resource<ArrayHandle>, start: u32, to: Scalars) -> Result<(), Refusal> {
        let ArrayHandle { array, requires } = self.table.get(&array)?;
        match requires {
            None => Ok(array.set(start, &to.into())?),
            Some(lock) => array.set_if(start, &to.into(), || self.must_hold(lock)),
        }
    }

    fn add(&mut self, array: Resource<ArrayHandle>, start: u32, deltas: Scalars) -> Result<(), Refusal> {
        let ArrayHandle { array, requires } = self.table.get(&array)?;
        match requires {
            None => Ok(array.add(start, &deltas.into())?),
            Some(lock) => array.add_if(start, &deltas.into(), || self.must_hold(lock)),
        }
    }

    fn drop(&mut self, array: Resource<ArrayHandle>) -> wasmtime::Result<()> {
        self.close_handle(array)
    }
}

impl ProcessState {
    fn shared(&mut self, kind: Kind, name: &str) -> Result<(Shared, Option<Arc<ScopedLock>>), Refusal> {
        let name = Name::asked(name)?;
        match self.rights.values.get(&name) {
            Some(GrantedValue { shared, requires, .. }) => Ok((shared.clone(), requires.clone())),
            None => Err(self.deny(kind, name, None)),
        }
    }

    /// At the moment of a change, under the mutex of what is changed: whether this process holds the lock now.
    fn must_hold(&self, lock: &ScopedLock) -> Result<(), Refusal> {
        match self.actor.scope.table().held_fence(self.owner(), lock.id) {
            Some(_) => Ok(()),
            None => Err(types::Error::LockRequired(lock.name.to_string()).into()),
        }
    }
}

impl From<ValueError> for Refusal {
    fn from(error: ValueError) -> Self {
        Self::Guest(match error {
            ValueError::WrongType { .. } | ValueError::NotNumeric => types::Error::InvalidArgument(error.to_string()),
            ValueError::SumOutOfRange { .. } | ValueError::BytesExceeded { .. } | ValueError::NoSuchElements { .. } => {
                types::Error::OutOfRange
            }
        })
    }
}

impl From<Scalar> for locks::Scalar {
    fn from(scalar: Scalar) -> Self {
        match scalar {
            Scalar::Signed(number) => Self::Signed(number),
            Scalar::Unsigned(number) => Self::Unsigned(number),
            Scalar::Float(number) => Self::Float(number),
            Scalar::Bytes(bytes) => Self::Bytes(bytes),
        }
    }
}

impl From<locks::Scalar> for Scalar {
    fn from(scalar: locks::Scalar) -> Self {
        match scalar {
            locks::Scalar::Signed(number) => Self::Signed(number),
            locks::Scalar::Unsigned(number) => Self::Unsigned(number),
            locks::Scalar::Float(number) => Self::Float(number),
            locks::Scalar::Bytes(bytes) => Self::Bytes(bytes),
        }
    }
}

impl From<Scalars> for locks::Scalars {
    fn from(scalars: Scalars) -> Self {
        match scalars {
            Scalars::Signed(numbers) => Self::Signed(numbers),
            Scalars::Unsigned(numbers) => Self::Unsigned(numbers),
            Scalars::Float(numbers) => Self::Float(numbers),
            Scalars::Bytes(bytes) => Self::Bytes(bytes),
        }
    }
}

impl From<locks::Scalars> for Scalars {
    fn from(scalars: locks::Scalars) -> Self {
        match scalars {
            locks::Scalars::Signed(numbers) => Self::Signed(numbers),
            locks::Scalars::Unsigned(numbers) => Self::Unsigned(numbers),
            locks::Scalars::Float(numbers) => Self::Float(numbers),
            locks::Scalars::Bytes(bytes) => Self::Bytes(bytes),
        }
    }
}
