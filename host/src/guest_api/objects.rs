//! `lockkeeper:runtime/objects`: what a process makes at run time.

use lockkeeper_locks::{
    Delivery, Kind as TableKind, Parties, QueueConfig, Scalar, ScalarKind, SemaphoreKind, ValueError,
};

use super::Refusal;
use crate::bindings::lockkeeper::runtime::objects::{Element, Host, Kind, Room, Signal, SomeBytes, Zeros};
use crate::bindings::lockkeeper::runtime::types;
use crate::bindings::lockkeeper::runtime::value;
use crate::job::DEPTH_MAX;
use crate::name::Name;
use crate::observe::Kind as Named;
use crate::process::ProcessState;
use crate::process::family::{Content, MakeRefused};
use crate::scope::TooMuch;

/// What is made.
enum What {
    Lock(TableKind),
    Value(Content),
}

impl Host for ProcessState {
    fn make(&mut self, what: Kind) -> Result<String, Refusal> {
        self.actor.proceed()?;
        let id = match self.what(what)? {
            What::Lock(kind) => {
                let lock = self.household.make_lock(kind)?;
                let id = lock.name.clone();
                self.rights.locks.insert(id.clone(), lock);
                id
            }
            What::Value(content) => {
                let (id, value) = self.household.make_value(content)?;
                self.rights.values.insert(id.clone(), value);
                id
            }
        };
        Ok(id.to_string())
    }

    fn forget(&mut self, id: String) -> Result<(), Refusal> {
        let id = Name::asked(&id)?;
        // A name of the job is no object, and is not forgotten.
        let had =
            id.is_object() && (self.rights.locks.remove(&id).is_some() || self.rights.values.remove(&id).is_some());
        if had { Ok(()) } else { Err(types::Error::Denied.into()) }
    }
}

impl ProcessState {
    fn what(&mut self, what: Kind) -> Result<What, Refusal> {
        Ok(What::Lock(match what {
            Kind::Mutex => TableKind::Mutex,
            Kind::Rlock => TableKind::RLock { depth_max: DEPTH_MAX },
            Kind::Rwlock => TableKind::RwLock { depth_max: DEPTH_MAX },
            Kind::OwnedSemaphore(permits) => TableKind::Semaphore(SemaphoreKind::Owned { permits }),
            Kind::SignalSemaphore(Signal { permits, maximum }) => {
                if maximum.is_some_and(|maximum| permits > maximum) {
                    return Err(invalid("permits: there are more at the start than there can ever be"));
                }
                TableKind::Semaphore(SemaphoreKind::Signal { permits, maximum })
            }
            Kind::Once => TableKind::Once,
            Kind::Condition(lock) => {
                let lock = Name::asked(&lock)?;
                match self.rights.locks.get(&lock).map(|of| (of.id, of.kind)) {
                    Some((id, TableKind::Mutex | TableKind::RLock { .. })) => TableKind::Condition { lock: id },
                    Some((_, kind)) => return Err(self.deny(Named::Mutex, lock, Some(Named::of(kind)))),
                    None => return Err(self.deny(Named::Mutex, lock, None)),
                }
            }
            Kind::Event => TableKind::Event,
            Kind::Barrier(0) => return Err(invalid("parties: a barrier has at least 1")),
            Kind::Barrier(parties) => TableKind::Barrier { parties, parties_are: Parties::Waiting },
            Kind::Latch(count) => TableKind::Latch { count },
            Kind::Queue(Room { items: 0, .. } | Room { bytes: 0, .. }) => {
                return Err(invalid("room: a queue holds at least one item and one byte"));
            }
            Kind::Queue(Room { items, bytes, unfinished }) => TableKind::Queue(QueueConfig {
                items_max: items,
                bytes_max: bytes,
                delivery: match unfinished {
                    None => Delivery::AtMostOnce,
                    Some(unfinished_max) => Delivery::Acknowledged { unfinished_max },
                },
            }),
            Kind::Value(value::Scalar::Bytes(_)) => return Err(invalid("value: bytes are made by `bytes`")),
            Kind::Value(initial) => {
                return Ok(What::Value(Content::Value { initial: initial.into(), bytes_max: 0 }));
            }
            Kind::Bytes(SomeBytes { initial, max }) => {
                return Ok(What::Value(Content::Value { initial: Scalar::Bytes(initial), bytes_max: max }));
            }
            Kind::Array(Zeros { element, length }) => {
                let kind = match element {
                    Element::Signed => ScalarKind::Signed,
                    Element::Unsigned => ScalarKind::Unsigned,
                    Element::Float => ScalarKind::Float,
                    Element::Byte => ScalarKind::Bytes,
                };
                return Ok(What::Value(Content::Array { kind, length }));
            }
        }))
    }
}

fn invalid(why: &str) -> Refusal {
    types::Error::InvalidArgument(why.to_owned()).into()
}

impl From<TooMuch> for Refusal {
    fn from(too_much: TooMuch) -> Self {
        Self::Guest(types::Error::Limit(match too_much {
            TooMuch::Objects => types::LimitKind::Objects,
            TooMuch::Bytes => types::LimitKind::ObjectBytes,
        }))
    }
}

impl From<MakeRefused> for Refusal {
    fn from(refused: MakeRefused) -> Self {
        match refused {
            MakeRefused::TooMuch(too_much) => too_much.into(),
            MakeRefused::Value(error) => ValueError::into(error),
        }
    }
}
