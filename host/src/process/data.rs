//! What the embedder keeps with a process, for host interfaces of his own.

use std::any::{Any, TypeId, type_name};
use std::collections::HashMap;
use std::fmt;

use super::ProcessState;
use crate::ids::ProcessId;

/// One value of each type. Most processes have none, and there may be very many of them.
#[derive(Default)]
pub(crate) struct Data(Option<Box<Values>>);

type Values = HashMap<TypeId, Box<dyn Any + Send>>;

impl Data {
    pub(crate) fn insert<D: Send + 'static>(&mut self, data: D) {
        self.0.get_or_insert_default().insert(TypeId::of::<D>(), Box::new(data));
    }

    pub(crate) fn insert_missing<D: Send + 'static>(&mut self, make: impl FnOnce() -> D) {
        self.0.get_or_insert_default().entry(TypeId::of::<D>()).or_insert_with(|| Box::new(make()));
    }

    fn get<D: 'static>(&self) -> Option<&D> {
        self.0.as_ref()?.get(&TypeId::of::<D>())?.downcast_ref()
    }

    fn get_mut<D: 'static>(&mut self) -> Option<&mut D> {
        self.0.as_mut()?.get_mut(&TypeId::of::<D>())?.downcast_mut()
    }
}

/// The values are the embedder's, and need not be printable.
impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Data").field("values", &self.0.as_ref().map_or(0, |values| values.len())).finish()
    }
}

/// What the engine keeps for a process, as host interfaces of the embedder see it.
impl ProcessState {
    /// The number of the process.
    pub fn process_id(&self) -> ProcessId {
        self.identity.id
    }

    /// The name of the process.
    pub fn process_name(&self) -> &str {
        &self.identity.name
    }

    /// What the embedder gave this process of that type. None if that was nothing.
    pub fn try_data<D: 'static>(&self) -> Option<&D> {
        self.data.get()
    }

    /// What the embedder gave this process of that type, in the form that `add_to_linker` of generated bindings wants.
    ///
    /// # Panics
    ///
    /// If that was nothing. In a call of a guest this ends the process and no other, with
    /// [`Outcome::HostFault`](crate::Outcome::HostFault).
    pub fn data_mut<D: 'static>(&mut self) -> &mut D {
        let name = self.identity.name.clone();
        self.data.get_mut().unwrap_or_else(|| {
            panic!(
                "`{name}` has no data of the type {}; give it some with `Spawn::data`, or give it to every process with \
                 `HostInterfaces::data`",
                type_name::<D>()
            )
        })
    }
}
