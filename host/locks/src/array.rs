//! Several values of one type that owners share, next to each other. Each call is one step, however many elements it
//! names.
//!
//! Changes are checked as in [`crate::value`]: a bound array is changed only if the check, which is asked under the
//! array's mutex right before the change, allows it, and [`Array::settle`] waits for a change in flight. What a caller
//! brings or takes away is allocated and freed outside of the mutex; under it elements are only copied, added and
//! compared.

use std::fmt;
use std::ops::Range;
use std::sync::Mutex;

use crate::value::{ScalarKind, ValueError, lock, unchecked};

/// Elements of one type, as they go in and come out.
#[derive(Clone, PartialEq, Debug)]
pub enum Scalars {
    /// Signed numbers.
    Signed(Vec<i64>),
    /// Unsigned numbers.
    Unsigned(Vec<u64>),
    /// Floating-point numbers.
    Float(Vec<f64>),
    /// Bytes.
    Bytes(Vec<u8>),
}

impl Scalars {
    /// So many zeros.
    #[must_use]
    pub fn zeroed(kind: ScalarKind, count: u32) -> Self {
        let count = count as usize;
        match kind {
            ScalarKind::Signed => Self::Signed(vec![0; count]),
            ScalarKind::Unsigned => Self::Unsigned(vec![0; count]),
            ScalarKind::Float => Self::Float(vec![0.0; count]),
            ScalarKind::Bytes => Self::Bytes(vec![0; count]),
        }
    }

    /// Their type.
    #[must_use]
    pub fn kind(&self) -> ScalarKind {
        match self {
            Self::Signed(_) => ScalarKind::Signed,
            Self::Unsigned(_) => ScalarKind::Unsigned,
            Self::Float(_) => ScalarKind::Float,
            Self::Bytes(_) => ScalarKind::Bytes,
        }
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Signed(elements) => elements.len(),
            Self::Unsigned(elements) => elements.len(),
            Self::Float(elements) => elements.len(),
            Self::Bytes(elements) => elements.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// An array that owners share. Its type and its length never change.
pub struct Array {
    kind: ScalarKind,
    length: u32,
    elements: Mutex<Scalars>,
}

impl Array {
    /// An array of so many zeros. The caller has limited the length.
    #[must_use]
    pub fn new(kind: ScalarKind, length: u32) -> Self {
        Self { kind, length, elements: Mutex::new(Scalars::zeroed(kind, length)) }
    }

    /// An array of these elements.
    ///
    /// # Panics
    ///
    /// If they are 2^32 or more.
    #[must_use]
    pub fn from_scalars(elements: Scalars) -> Self {
        let length = u32::try_from(elements.len()).expect("an array has fewer than 2^32 elements");
        Self { kind: elements.kind(), length, elements: Mutex::new(elements) }
    }

    /// The type of its elements.
    #[must_use]
    pub fn kind(&self) -> ScalarKind {
        self.kind
    }

    /// How many elements it has.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.length
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// So many elements from an index on, as they are at one moment.
    ///
    /// # Errors
    ///
    /// [`ValueError::NoSuchElements`].
    pub fn get(&self, start: u32, count: u32) -> Result<Scalars, ValueError> {
        let range = self.range(start, count as usize)?;
        // The room is made before the mutex is taken, and no larger than the array.
        let mut found = Scalars::zeroed(self.kind, count);
        match (&mut found, &*lock(&self.elements)) {
            (Scalars::Signed(found), Scalars::Signed(all)) => found.copy_from_slice(&all[range]),
            (Scalars::Unsigned(found), Scalars::Unsigned(all)) => {
                found.copy_from_slice(&all[range]);
            }
            (Scalars::Float(found), Scalars::Float(all)) => found.copy_from_slice(&all[range]),
            (Scalars::Bytes(found), Scalars::Bytes(all)) => found.copy_from_slice(&all[range]),
            _ => unreachable!("the type of an array never changes"),
        }
        Ok(found)
    }

    /// Sets elements from an index on: all of them, or none.
    ///
    /// # Errors
    ///
    /// [`ValueError::WrongType`]; [`ValueError::NoSuchElements`].
    pub fn set(&self, start: u32, to: &Scalars) -> Result<(), ValueError> {
        self.replace(start, to, unchecked())
    }

    /// [`Array::set`] if `check` allows it. It is asked under the array's mutex, right before the change; it may take
    /// other locks, but must not call this array. What it refuses changes nothing.
    ///
    /// # Errors
    ///
    /// What `check` says, and as [`Array::set`].
    pub fn set_if<E: From<ValueError>>(
        &self,
        start: u32,
        to: &Scalars,
        check: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        self.replace(start, to, Some(check))
    }

    /// Adds to elements from an index on: to all of them, or to none. Floating-point sums fit, as in
    /// [`crate::value::Value::add`].
    ///
    /// # Errors
    ///
    /// [`ValueError::WrongType`]; [`ValueError::NotNumeric`]; [`ValueError::NoSuchElements`];
    /// [`ValueError::SumOutOfRange`] when one sum does not fit.
    pub fn add(&self, start: u32, deltas: &Scalars) -> Result<(), ValueError> {
        self.increase(start, deltas, unchecked())
    }

    /// [`Array::add`] if `check` allows it, which is asked as by [`Array::set_if`].
    ///
    /// # Errors
    ///
    /// What `check` says, and as [`Array::add`].
    pub fn add_if<E: From<ValueError>>(
        &self,
        start: u32,
        deltas: &Scalars,
        check: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        self.increase(start, deltas, Some(check))
    }

    /// Waits for a change in flight whose check was already passed, as [`crate::value::Value::settle`] does.
    pub fn settle(&self) {
        drop(lock(&self.elements));
    }

    fn replace<E: From<ValueError>>(
        &self,
        start: u32,
        to: &Scalars,
        check: Option<impl FnOnce() -> Result<(), E>>,
    ) -> Result<(), E> {
        self.check_type(to)?;
        let range = self.range(start, to.len())?;
        let mut elements = lock(&self.elements);
        check.map_or(Ok(()), |check| check())?;
        match (&mut *elements, to) {
            (Scalars::Signed(all), Scalars::Signed(to)) => all[range].copy_from_slice(to),
            (Scalars::Unsigned(all), Scalars::Unsigned(to)) => all[range].copy_from_slice(to),
            (Scalars::Float(all), Scalars::Float(to)) => all[range].copy_from_slice(to),
            (Scalars::Bytes(all), Scalars::Bytes(to)) => all[range].copy_from_slice(to),
            _ => unreachable!("the type was checked"),
        }
        Ok(())
    }

    fn increase<E: From<ValueError>>(
        &self,
        start: u32,
        deltas: &Scalars,
        check: Option<impl FnOnce() -> Result<(), E>>,
    ) -> Result<(), E> {
        self.check_type(deltas)?;
        if self.kind == ScalarKind::Bytes {
            return Err(ValueError::NotNumeric.into());
        }
        let range = self.range(start, deltas.len())?;
        let mut elements = lock(&self.elements);
        check.map_or(Ok(()), |check| check())?;
        let added = match (&mut *elements, deltas) {
            (Scalars::Signed(all), Scalars::Signed(deltas)) => {
                add_all(&mut all[range], deltas, |a, b| a.checked_add(b))
            }
            (Scalars::Unsigned(all), Scalars::Unsigned(deltas)) => {
                add_all(&mut all[range], deltas, |a, b| a.checked_add(b))
            }
            (Scalars::Float(all), Scalars::Float(deltas)) => add_all(&mut all[range], deltas, |a, b| Some(a + b)),
            _ => unreachable!("the type was checked"),
        };
        added.ok_or_else(|| ValueError::SumOutOfRange { holds: self.kind }.into())
    }

    fn check_type(&self, given: &Scalars) -> Result<(), ValueError> {
        if given.kind() == self.kind {
            return Ok(());
        }
        Err(ValueError::WrongType { holds: self.kind, given: given.kind() })
    }

    /// The places of so many elements. Indexing with them cannot fail: the length never changes.
    fn range(&self, start: u32, count: usize) -> Result<Range<usize>, ValueError> {
        let first = start as usize;
        match first.checked_add(count) {
            Some(end) if end <= self.length as usize => Ok(first..end),
            _ => Err(ValueError::NoSuchElements { start, count, length: self.length }),
        }
    }
}

impl fmt::Debug for Array {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Array").field("kind", &self.kind).field("length", &self.length).finish_non_exhaustive()
    }
}

/// Adds element by element once it is known that every sum fits. None, and nothing added, if one does not.
fn add_all<T: Copy>(elements: &mut [T], deltas: &[T], sum: impl Fn(T, T) -> Option<T>) -> Option<()> {
    if !elements.iter().zip(deltas).all(|(&element, &delta)| sum(element, delta).is_some()) {
        return None;
    }
    for (element, &delta) in elements.iter_mut().zip(deltas) {
        *element = sum(*element, delta).expect("every sum was found to fit");
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    #[test]
    fn array_begins_with_zeros_of_its_type() {
        for kind in [ScalarKind::Signed, ScalarKind::Unsigned, ScalarKind::Float, ScalarKind::Bytes] {
            let array = Array::new(kind, 3);
            assert_eq!((array.kind(), array.len(), array.is_empty()), (kind, 3, false));
            assert_eq!(array.get(0, 3), Ok(Scalars::zeroed(kind, 3)));
            let two = array.get(1, 2).expect("it has them");
            assert_eq!((two.kind(), two.len(), two.is_empty()), (kind, 2, false));
            array.set(1, &two).expect("its own elements fit");
        }
    }

    #[test]
    fn set_and_add_touch_the_named_elements_only() {
        let array = Array::from_scalars(Scalars::Signed(vec![1, 2, 3, 4]));
        array.set(1, &Scalars::Signed(vec![-2, -3])).expect("it fits");
        array.add(2, &Scalars::Signed(vec![10, 10])).expect("it fits");
        assert_eq!(array.get(0, 4), Ok(Scalars::Signed(vec![1, -2, 7, 14])));
        let unsigned = Array::from_scalars(Scalars::Unsigned(vec![1, 2]));
        unsigned.add(1, &Scalars::Unsigned(vec![3])).expect("it fits");
        assert_eq!(unsigned.get(0, 2), Ok(Scalars::Unsigned(vec![1, 5])));
        let float = Array::from_scalars(Scalars::Float(vec![0.5, f64::MAX]));
        float.add(0, &Scalars::Float(vec![0.25, f64::MAX])).expect("it fits");
        assert_eq!(float.get(0, 2), Ok(Scalars::Float(vec![0.75, f64::INFINITY])));
    }

    #[test]
    fn range_may_end_at_the_end_and_not_beyond() {
        let array = Array::new(ScalarKind::Unsigned, 4);
        assert_eq!(array.get(4, 0), Ok(Scalars::Unsigned(Vec::new())));
        array.add(4, &Scalars::Unsigned(Vec::new())).expect("nothing is added to nothing");
        for (start, count) in [(0, 5), (4, 1), (5, 0), (1, u32::MAX), (u32::MAX, 1), (u32::MAX, u32::MAX)] {
            let none = ValueError::NoSuchElements { start, count: count as usize, length: 4 };
            assert_eq!(array.get(start, count), Err(none));
        }
        let none = ValueError::NoSuchElements { start: 3, count: 2, length: 4 };
        assert_eq!(array.set(3, &Scalars::Unsigned(vec![1, 1])), Err(none.clone()));
        assert_eq!(array.add(3, &Scalars::Unsigned(vec![1, 1])), Err(none));
        assert_eq!(array.get(0, 4), Ok(Scalars::zeroed(ScalarKind::Unsigned, 4)));
    }

    #[test]
    fn one_sum_that_does_not_fit_keeps_all_from_being_added() {
        let array = Array::from_scalars(Scalars::Signed(vec![1, i64::MAX, 3]));
        let too_much = Err(ValueError::SumOutOfRange { holds: ScalarKind::Signed });
        assert_eq!(array.add(0, &Scalars::Signed(vec![1, 1, 1])), too_much);
        assert_eq!(array.get(0, 3), Ok(Scalars::Signed(vec![1, i64::MAX, 3])));
        let array = Array::from_scalars(Scalars::Unsigned(vec![1, u64::MAX]));
        let too_much = Err(ValueError::SumOutOfRange { holds: ScalarKind::Unsigned });
        assert_eq!(array.add(0, &Scalars::Unsigned(vec![1, 1])), too_much);
        assert_eq!(array.get(0, 2), Ok(Scalars::Unsigned(vec![1, u64::MAX])));
    }

    #[test]
    fn another_type_and_sums_of_bytes_are_refused() {
        let array = Array::new(ScalarKind::Bytes, 2);
        let wrong = ValueError::WrongType { holds: ScalarKind::Bytes, given: ScalarKind::Float };
        assert_eq!(array.set(0, &Scalars::Float(vec![1.0])), Err(wrong.clone()));
        assert_eq!(array.add(0, &Scalars::Float(vec![1.0])), Err(wrong));
        assert_eq!(array.add(0, &Scalars::Bytes(vec![1])), Err(ValueError::NotNumeric));
        assert_eq!(array.get(0, 2), Ok(Scalars::Bytes(vec![0, 0])));
    }

    #[derive(PartialEq, Debug)]
    enum Refused {
        LockRequired,
        Value(ValueError),
    }

    impl From<ValueError> for Refused {
        fn from(error: ValueError) -> Self {
            Self::Value(error)
        }
    }

    #[test]
    fn check_that_refuses_changes_nothing() {
        let array = Array::new(ScalarKind::Signed, 2);
        let ones = Scalars::Signed(vec![1, 1]);
        let refuse = || Err(Refused::LockRequired);
        assert_eq!(array.set_if(0, &ones, refuse), Err(Refused::LockRequired));
        assert_eq!(array.add_if(0, &ones, refuse), Err(Refused::LockRequired));
        assert_eq!(array.get(0, 2), Ok(Scalars::Signed(vec![0, 0])));
        assert_eq!(array.add_if(0, &ones, || Ok::<_, Refused>(())), Ok(()));
        assert_eq!(array.get(0, 2), Ok(ones));
    }

    #[test]
    fn settling_waits_for_the_change_whose_check_was_passed() {
        let array = Array::new(ScalarKind::Signed, 1);
        let (passed, until_passed) = mpsc::channel();
        let (go, until_go) = mpsc::channel();
        let (settled, until_settled) = mpsc::channel();
        thread::scope(|scope| {
            let array = &array;
            scope.spawn(move || {
                let check = || {
                    passed.send(()).expect("the test listens");
                    until_go.recv().expect("the test speaks");
                    Ok::<_, ValueError>(())
                };
                array.add_if(0, &Scalars::Signed(vec![7]), check).expect("it is allowed");
            });
            until_passed.recv().expect("the check is asked");
            scope.spawn(move || {
                array.settle();
                settled.send(array.get(0, 1)).expect("the test listens");
            });
            assert!(until_settled.try_recv().is_err(), "the change has not been made");
            go.send(()).expect("the writer listens");
            assert_eq!(until_settled.recv(), Ok(Ok(Scalars::Signed(vec![7]))));
        });
    }

    #[test]
    fn threads_that_add_lose_nothing_and_never_see_half_a_step() {
        const THREADS: u64 = 4;
        const TIMES: u64 = 10_000;
        let array = Array::new(ScalarKind::Unsigned, 3);
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    for _ in 0..TIMES {
                        array.add(0, &Scalars::Unsigned(vec![1, 1, 1])).expect("it fits");
                        let Ok(Scalars::Unsigned(now)) = array.get(0, 3) else { panic!("unsigned it stays") };
                        assert!(now[0] == now[1] && now[1] == now[2], "half a step was seen: {now:?}");
                    }
                });
            }
        });
        assert_eq!(array.get(0, 3), Ok(Scalars::Unsigned(vec![THREADS * TIMES; 3])));
    }
}
