//! What the processes of a job may make at run time, all together.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::name::Name;

/// What the objects of a job, made at run time, may come to.
#[derive(Debug)]
pub(crate) struct ObjectBudget {
    left: Mutex<Left>,
    next: AtomicU64,
}

#[derive(Debug)]
struct Left {
    objects: u32,
    bytes: u64,
}

/// Why an object is not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TooMuch {
    Objects,
    Bytes,
}

/// The part of an object in the budget, given back with it.
#[derive(Debug)]
pub(crate) struct Charge {
    budget: Arc<ObjectBudget>,
    bytes: u64,
}

impl ObjectBudget {
    pub(crate) fn new(objects: u32, bytes: u64) -> Arc<Self> {
        Arc::new(Self { left: Mutex::new(Left { objects, bytes }), next: AtomicU64::new(1) })
    }

    fn left(&self) -> MutexGuard<'_, Left> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The id of the next object.
    pub(crate) fn next_id(&self) -> Name {
        Name::object(self.next.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn charge(self: &Arc<Self>, bytes: u64) -> Result<Charge, TooMuch> {
        let mut left = self.left();
        let objects = left.objects.checked_sub(1).ok_or(TooMuch::Objects)?;
        let remaining = left.bytes.checked_sub(bytes).ok_or(TooMuch::Bytes)?;
        *left = Left { objects, bytes: remaining };
        Ok(Charge { budget: self.clone(), bytes })
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        let mut left = self.budget.left();
        left.objects += 1;
        left.bytes += self.bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_object_costs_comes_back_with_it_and_a_refused_one_costs_nothing() {
        let budget = ObjectBudget::new(2, 100);
        let first = budget.charge(60).expect("there is room");
        assert_eq!(budget.charge(41).err(), Some(TooMuch::Bytes));
        let second = budget.charge(40).expect("the refused one took nothing");
        assert_eq!(budget.charge(0).err(), Some(TooMuch::Objects));
        drop(first);
        let third = budget.charge(60).expect("the first one is gone");
        drop((second, third));
        assert!(budget.charge(100).is_ok());
    }
}
