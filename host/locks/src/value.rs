//! One value that owners share: a number, or bytes up to a length. Each call is one step.
//!
//! A value may be bound to a lock; which one, and whether the caller holds it, only the host knows. It hands that
//! question in as a check ([`Value::set_if`] and the like), which is asked under the value's own mutex, right before
//! the change. Whoever takes a hold away does that first and then calls [`Value::settle`], which waits for a change in
//! flight: from there on the check refuses, and a late writer changes nothing.
//!
//! A number is an atomic, so a change without a check takes no mutex at all, and neither does a look. Bytes are
//! replaced as a whole: under the mutex only a pointer changes hands, and copies are made outside of it.

use std::fmt;
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use thiserror::Error;

/// A value, as it goes in and comes out.
#[derive(Clone, PartialEq, Debug)]
pub enum Scalar {
    /// A signed number.
    Signed(i64),
    /// An unsigned number.
    Unsigned(u64),
    /// A floating-point number.
    Float(f64),
    /// Bytes.
    Bytes(Vec<u8>),
}

/// The types that a value, or the elements of an array, can have.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ScalarKind {
    /// Signed numbers of 64 bits.
    Signed,
    /// Unsigned numbers of 64 bits.
    Unsigned,
    /// Floating-point numbers of 64 bits.
    Float,
    /// Bytes.
    Bytes,
}

/// Why a value or an array was not changed, or not read. Nothing of the call was done.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum ValueError {
    /// It has another type than what was given.
    #[error("this holds {holds} and was given {given}; give it {holds}, or declare it with the other type")]
    WrongType {
        /// What it holds.
        holds: ScalarKind,
        /// What was given.
        given: ScalarKind,
    },
    /// Bytes have no sum.
    #[error("bytes cannot be added to; set them, or declare it as a number")]
    NotNumeric,
    /// A sum does not fit into the type.
    #[error("the sum does not fit into {holds} of 64 bits; add less, or declare it as floating-point numbers")]
    SumOutOfRange {
        /// What it holds.
        holds: ScalarKind,
    },
    /// More bytes than the value may have.
    #[error(
        "{bytes} bytes are more than the {bytes_max} that this value may have; give it fewer, or declare it longer"
    )]
    BytesExceeded {
        /// How many were given.
        bytes: usize,
        /// How many it may have.
        bytes_max: u32,
    },
    /// Elements that the array does not have.
    #[error("{count} elements from {start} on are not all among the {length} of this array; its indices start at 0")]
    NoSuchElements {
        /// The first one.
        start: u32,
        /// How many.
        count: usize,
        /// How many the array has.
        length: u32,
    },
}

impl Scalar {
    /// Its type.
    #[must_use]
    pub fn kind(&self) -> ScalarKind {
        match self {
            Self::Signed(_) => ScalarKind::Signed,
            Self::Unsigned(_) => ScalarKind::Unsigned,
            Self::Float(_) => ScalarKind::Float,
            Self::Bytes(_) => ScalarKind::Bytes,
        }
    }
}

impl fmt::Display for ScalarKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Signed => "signed numbers",
            Self::Unsigned => "unsigned numbers",
            Self::Float => "floating-point numbers",
            Self::Bytes => "bytes",
        })
    }
}

/// One value that owners share.
///
/// Its type never changes. Numbers are seen by everyone in one order, also across several values.
///
/// Whoever binds a value to a lock makes every change of it with a check: a change without one takes no notice of the
/// others.
// On cache lines of its own: one value that is added to must not slow down its neighbour.
#[repr(align(128))]
pub struct Value(Content);

enum Content {
    Signed(Number),
    Unsigned(Number),
    Float(Number),
    Bytes(Bytes),
}

/// The bits of a number. They change in one atomic step, so the gate guards no data: who changes them with a check
/// holds it from the check to the change, and whoever settles waits for it.
struct Number {
    bits: AtomicU64,
    gate: Mutex<()>,
}

/// Never changed in place: a reader keeps what it has seen, and copies it outside of the mutex.
struct Bytes {
    now: Mutex<Arc<Vec<u8>>>,
    bytes_max: u32,
}

impl Value {
    /// Makes a value of the type of `initial`. Bytes may be `bytes_max` at most; for numbers it means nothing.
    ///
    /// # Errors
    ///
    /// [`ValueError::BytesExceeded`].
    pub fn new(initial: Scalar, bytes_max: u32) -> Result<Self, ValueError> {
        Ok(Self(match initial {
            Scalar::Signed(number) => Content::Signed(Number::new(number.cast_unsigned())),
            Scalar::Unsigned(number) => Content::Unsigned(Number::new(number)),
            Scalar::Float(number) => Content::Float(Number::new(number.to_bits())),
            Scalar::Bytes(bytes) => Content::Bytes(Bytes::new(bytes, bytes_max)?),
        }))
    }

    /// Its type.
    #[must_use]
    pub fn kind(&self) -> ScalarKind {
        match self.0 {
            Content::Signed(_) => ScalarKind::Signed,
            Content::Unsigned(_) => ScalarKind::Unsigned,
            Content::Float(_) => ScalarKind::Float,
            Content::Bytes(_) => ScalarKind::Bytes,
        }
    }

    /// The value at this moment.
    #[must_use]
    pub fn get(&self) -> Scalar {
        match &self.0 {
            Content::Signed(number) => signed(number.get()),
            Content::Unsigned(number) => Scalar::Unsigned(number.get()),
            Content::Float(number) => float(number.get()),
            Content::Bytes(bytes) => Scalar::Bytes(bytes.get()),
        }
    }

    /// Sets the value, and answers the one before.
    ///
    /// # Errors
    ///
    /// [`ValueError::WrongType`]; [`ValueError::BytesExceeded`].
    pub fn set(&self, to: Scalar) -> Result<Scalar, ValueError> {
        self.replace(to, unchecked())
    }

    /// [`Value::set`] if `check` allows it. It is asked under the value's mutex, right before the change; it may take
    /// other locks, but must not call this value. What it refuses changes nothing.
    ///
    /// # Errors
    ///
    /// What `check` says, and as [`Value::set`].
    pub fn set_if<E: From<ValueError>>(&self, to: Scalar, check: impl FnOnce() -> Result<(), E>) -> Result<Scalar, E> {
        self.replace(to, Some(check))
    }

    /// Adds to the value, and answers the one before. A floating-point sum beyond the largest number is infinite, as
    /// everywhere, and fits.
    ///
    /// # Errors
    ///
    /// [`ValueError::WrongType`]; [`ValueError::NotNumeric`]; [`ValueError::SumOutOfRange`], and then nothing is added.
    pub fn add(&self, delta: &Scalar) -> Result<Scalar, ValueError> {
        self.increase(delta, unchecked())
    }

    /// [`Value::add`] if `check` allows it, which is asked as by [`Value::set_if`].
    ///
    /// # Errors
    ///
    /// What `check` says, and as [`Value::add`].
    pub fn add_if<E: From<ValueError>>(
        &self,
        delta: &Scalar,
        check: impl FnOnce() -> Result<(), E>,
    ) -> Result<Scalar, E> {
        self.increase(delta, Some(check))
    }

    /// Sets the value if it is `expected`, and answers whether it was and the one before. Floating-point numbers are
    /// compared by their bits, so one that is not a number can be expected too.
    ///
    /// # Errors
    ///
    /// As [`Value::set`], for either argument.
    pub fn compare_exchange(&self, expected: &Scalar, to: Scalar) -> Result<(bool, Scalar), ValueError> {
        self.exchange(expected, to, unchecked())
    }

    /// [`Value::compare_exchange`] if `check` allows it, which is asked as by [`Value::set_if`], also when the value is
    /// not the expected one.
    ///
    /// # Errors
    ///
    /// What `check` says, and as [`Value::compare_exchange`].
    pub fn compare_exchange_if<E: From<ValueError>>(
        &self,
        expected: &Scalar,
        to: Scalar,
        check: impl FnOnce() -> Result<(), E>,
    ) -> Result<(bool, Scalar), E> {
        self.exchange(expected, to, Some(check))
    }

    /// Waits for a change in flight whose check was already passed. Whoever takes a hold away makes the check fail
    /// first and then calls this: when it returns, nothing is changed under the old hold any more.
    pub fn settle(&self) {
        match &self.0 {
            Content::Signed(number) | Content::Unsigned(number) | Content::Float(number) => drop(lock(&number.gate)),
            Content::Bytes(bytes) => drop(lock(&bytes.now)),
        }
    }

    fn replace<E: From<ValueError>>(
        &self,
        to: Scalar,
        check: Option<impl FnOnce() -> Result<(), E>>,
    ) -> Result<Scalar, E> {
        match (&self.0, to) {
            (Content::Signed(number), Scalar::Signed(to)) => number.set(to.cast_unsigned(), check).map(signed),
            (Content::Unsigned(number), Scalar::Unsigned(to)) => number.set(to, check).map(Scalar::Unsigned),
            (Content::Float(number), Scalar::Float(to)) => number.set(to.to_bits(), check).map(float),
            (Content::Bytes(bytes), Scalar::Bytes(to)) => bytes.set(to, check).map(Scalar::Bytes),
            (_, given) => Err(self.wrong_type(&given).into()),
        }
    }

    fn increase<E: From<ValueError>>(
        &self,
        delta: &Scalar,
        check: Option<impl FnOnce() -> Result<(), E>>,
    ) -> Result<Scalar, E> {
        let too_much = || ValueError::SumOutOfRange { holds: self.kind() };
        match (&self.0, delta) {
            (Content::Signed(number), Scalar::Signed(delta)) => {
                let sum =
                    |bits: u64| bits.cast_signed().checked_add(*delta).map(i64::cast_unsigned).ok_or_else(too_much);
                number.update(sum, check).map(signed)
            }
            (Content::Unsigned(number), Scalar::Unsigned(delta)) => {
                let sum = |bits: u64| bits.checked_add(*delta).ok_or_else(too_much);
                number.update(sum, check).map(Scalar::Unsigned)
            }
            (Content::Float(number), Scalar::Float(delta)) => {
                let sum = |bits: u64| Ok((f64::from_bits(bits) + delta).to_bits());
                number.update(sum, check).map(float)
            }
            (Content::Bytes(_), Scalar::Bytes(_)) => Err(ValueError::NotNumeric.into()),
            (_, given) => Err(self.wrong_type(given).into()),
        }
    }

    fn exchange<E: From<ValueError>>(
        &self,
        expected: &Scalar,
        to: Scalar,
        check: Option<impl FnOnce() -> Result<(), E>>,
    ) -> Result<(bool, Scalar), E> {
        match (&self.0, expected, to) {
            (Content::Signed(number), Scalar::Signed(expected), Scalar::Signed(to)) => {
                let exchanged = number.exchange(expected.cast_unsigned(), to.cast_unsigned(), check);
                exchanged.map(|(done, bits)| (done, signed(bits)))
            }
            (Content::Unsigned(number), Scalar::Unsigned(expected), Scalar::Unsigned(to)) => {
                let exchanged = number.exchange(*expected, to, check);
                exchanged.map(|(done, bits)| (done, Scalar::Unsigned(bits)))
            }
            (Content::Float(number), Scalar::Float(expected), Scalar::Float(to)) => {
                let exchanged = number.exchange(expected.to_bits(), to.to_bits(), check);
                exchanged.map(|(done, bits)| (done, float(bits)))
            }
            (Content::Bytes(bytes), Scalar::Bytes(expected), Scalar::Bytes(to)) => {
                let exchanged = bytes.exchange(expected, to, check);
                exchanged.map(|(done, previous)| (done, Scalar::Bytes(previous)))
            }
            (_, expected, to) => {
                let given = if expected.kind() == self.kind() { &to } else { expected };
                Err(self.wrong_type(given).into())
            }
        }
    }

    fn wrong_type(&self, given: &Scalar) -> ValueError {
        ValueError::WrongType { holds: self.kind(), given: given.kind() }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Value").field("kind", &self.kind()).finish_non_exhaustive()
    }
}

impl Number {
    fn new(bits: u64) -> Self {
        Self { bits: AtomicU64::new(bits), gate: Mutex::new(()) }
    }

    fn get(&self) -> u64 {
        self.bits.load(Ordering::SeqCst)
    }

    fn set<E>(&self, to: u64, check: Option<impl FnOnce() -> Result<(), E>>) -> Result<u64, E> {
        let _gate = self.pass(check)?;
        Ok(self.bits.swap(to, Ordering::SeqCst))
    }

    fn update<E: From<ValueError>>(
        &self,
        next: impl Fn(u64) -> Result<u64, ValueError>,
        check: Option<impl FnOnce() -> Result<(), E>>,
    ) -> Result<u64, E> {
        let _gate = self.pass(check)?;
        let mut now = self.get();
        loop {
            match self.bits.compare_exchange_weak(now, next(now)?, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(previous) => return Ok(previous),
                Err(newer) => now = newer,
            }
        }
    }

    fn exchange<E>(
        &self,
        expected: u64,
        to: u64,
        check: Option<impl FnOnce() -> Result<(), E>>,
    ) -> Result<(bool, u64), E> {
        let _gate = self.pass(check)?;
        let exchanged = self.bits.compare_exchange(expected, to, Ordering::SeqCst, Ordering::SeqCst);
        Ok((exchanged.is_ok(), exchanged.unwrap_or_else(|other| other)))
    }

    /// Takes the gate and asks the check, if there is one.
    fn pass<E>(&self, check: Option<impl FnOnce() -> Result<(), E>>) -> Result<Option<MutexGuard<'_, ()>>, E> {
        let Some(check) = check else { return Ok(None) };
        let gate = lock(&self.gate);
        check()?;
        Ok(Some(gate))
    }
}

impl Bytes {
    fn new(bytes: Vec<u8>, bytes_max: u32) -> Result<Self, ValueError> {
        Ok(Self { now: Mutex::new(kept(bytes, bytes_max)?), bytes_max })
    }

    fn get(&self) -> Vec<u8> {
        let now = Arc::clone(&lock(&self.now));
        owned(now)
    }

    fn set<E: From<ValueError>>(
        &self,
        to: Vec<u8>,
        check: Option<impl FnOnce() -> Result<(), E>>,
    ) -> Result<Vec<u8>, E> {
        let to = kept(to, self.bytes_max)?;
        let previous = mem::replace(&mut *self.pass(check)?, to);
        Ok(owned(previous))
    }

    fn exchange<E: From<ValueError>>(
        &self,
        expected: &[u8],
        to: Vec<u8>,
        check: Option<impl FnOnce() -> Result<(), E>>,
    ) -> Result<(bool, Vec<u8>), E> {
        let to = kept(to, self.bytes_max)?;
        let (done, previous) = {
            let mut now = self.pass(check)?;
            if now.as_slice() == expected { (true, mem::replace(&mut *now, to)) } else { (false, Arc::clone(&now)) }
        };
        Ok((done, owned(previous)))
    }

    /// Takes the mutex and asks the check, if there is one.
    fn pass<E>(&self, check: Option<impl FnOnce() -> Result<(), E>>) -> Result<MutexGuard<'_, Arc<Vec<u8>>>, E> {
        let now = lock(&self.now);
        check.map_or(Ok(()), |check| check())?;
        Ok(now)
    }
}

/// No check: a change that everyone may make.
pub(crate) fn unchecked() -> Option<fn() -> Result<(), ValueError>> {
    None
}

/// A panic of a check leaves what the mutex guards as it was, and nothing else under it can panic. So a poisoned mutex
/// says nothing.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes as they are kept: no more than may be, and no room beside them that nobody counts.
fn kept(mut bytes: Vec<u8>, bytes_max: u32) -> Result<Arc<Vec<u8>>, ValueError> {
    if bytes.len() > bytes_max as usize {
        return Err(ValueError::BytesExceeded { bytes: bytes.len(), bytes_max });
    }
    bytes.shrink_to_fit();
    Ok(Arc::new(bytes))
}

/// Copies only what somebody else still looks at.
fn owned(bytes: Arc<Vec<u8>>) -> Vec<u8> {
    Arc::unwrap_or_clone(bytes)
}

fn signed(bits: u64) -> Scalar {
    Scalar::Signed(bits.cast_signed())
}

fn float(bits: u64) -> Scalar {
    Scalar::Float(f64::from_bits(bits))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    fn value(initial: Scalar) -> Value {
        Value::new(initial, 4).expect("it fits")
    }

    #[test]
    fn every_change_answers_the_value_before() {
        let cases = [
            (Scalar::Signed(-3), Scalar::Signed(5), Scalar::Signed(2)),
            (Scalar::Unsigned(3), Scalar::Unsigned(5), Scalar::Unsigned(8)),
            (Scalar::Float(0.5), Scalar::Float(1.0), Scalar::Float(1.5)),
        ];
        for (first, delta, sum) in cases {
            let value = value(first.clone());
            assert_eq!((value.kind(), value.get()), (first.kind(), first.clone()));
            assert_eq!(value.add(&delta), Ok(first.clone()));
            assert_eq!(value.set(delta.clone()), Ok(sum.clone()));
            assert_eq!(value.compare_exchange(&sum, first.clone()), Ok((false, delta.clone())));
            assert_eq!(value.compare_exchange(&delta, first.clone()), Ok((true, delta)));
            assert_eq!(value.get(), first);
        }
        let value = value(Scalar::Bytes(b"ab".into()));
        assert_eq!(value.set(Scalar::Bytes(b"abcd".into())), Ok(Scalar::Bytes(b"ab".into())));
        let exchanged = value.compare_exchange(&Scalar::Bytes(b"ab".into()), Scalar::Bytes(Vec::new()));
        assert_eq!(exchanged, Ok((false, Scalar::Bytes(b"abcd".into()))));
        let exchanged = value.compare_exchange(&Scalar::Bytes(b"abcd".into()), Scalar::Bytes(Vec::new()));
        assert_eq!(exchanged, Ok((true, Scalar::Bytes(b"abcd".into()))));
        assert_eq!(value.get(), Scalar::Bytes(Vec::new()));
    }

    #[test]
    fn sum_that_does_not_fit_changes_nothing() {
        let signed = value(Scalar::Signed(i64::MAX - 1));
        let too_much = Err(ValueError::SumOutOfRange { holds: ScalarKind::Signed });
        assert_eq!(signed.add(&Scalar::Signed(2)), too_much);
        assert_eq!(signed.add(&Scalar::Signed(1)), Ok(Scalar::Signed(i64::MAX - 1)));
        assert_eq!(signed.get(), Scalar::Signed(i64::MAX));
        signed.set(Scalar::Signed(i64::MIN)).expect("the right type");
        assert_eq!(signed.add(&Scalar::Signed(-1)), too_much);

        let unsigned = value(Scalar::Unsigned(u64::MAX));
        assert_eq!(unsigned.add(&Scalar::Unsigned(1)), Err(ValueError::SumOutOfRange { holds: ScalarKind::Unsigned }));
        assert_eq!(unsigned.add(&Scalar::Unsigned(0)), Ok(Scalar::Unsigned(u64::MAX)));

        let float = value(Scalar::Float(f64::MAX));
        assert_eq!(float.add(&Scalar::Float(f64::MAX)), Ok(Scalar::Float(f64::MAX)));
        assert_eq!(float.get(), Scalar::Float(f64::INFINITY));
    }

    #[test]
    fn floats_are_expected_by_their_bits() {
        let value = value(Scalar::Float(0.0));
        let (done, _) = value.compare_exchange(&Scalar::Float(-0.0), Scalar::Float(1.0)).expect("the right type");
        assert!(!done, "the two zeros differ");
        value.set(Scalar::Float(f64::NAN)).expect("the right type");
        let (done, _) = value.compare_exchange(&Scalar::Float(f64::NAN), Scalar::Float(1.0)).expect("the right type");
        assert!(done, "not a number is found by its bits");
    }

    #[test]
    fn another_type_is_refused_by_every_call() {
        let all = [Scalar::Signed(1), Scalar::Unsigned(1), Scalar::Float(1.0), Scalar::Bytes(vec![1])];
        for held in &all {
            let value = value(held.clone());
            for given in all.iter().filter(|given| given.kind() != held.kind()) {
                let wrong = ValueError::WrongType { holds: held.kind(), given: given.kind() };
                assert_eq!(value.set(given.clone()), Err(wrong.clone()));
                assert_eq!(value.add(given), Err(wrong.clone()));
                assert_eq!(value.compare_exchange(given, held.clone()), Err(wrong.clone()));
                assert_eq!(value.compare_exchange(held, given.clone()), Err(wrong));
            }
            assert_eq!(value.get(), *held);
        }
        assert_eq!(value(Scalar::Bytes(vec![1])).add(&Scalar::Bytes(vec![1])), Err(ValueError::NotNumeric));
    }

    #[test]
    fn bytes_beyond_the_length_are_refused_by_every_call() {
        let long = Scalar::Bytes(vec![0; 5]);
        let too_long = ValueError::BytesExceeded { bytes: 5, bytes_max: 4 };
        assert_eq!(Value::new(long.clone(), 4).map(drop), Err(too_long.clone()));
        let value = value(Scalar::Bytes(Vec::new()));
        assert_eq!(value.set(long.clone()), Err(too_long.clone()));
        assert_eq!(value.compare_exchange(&Scalar::Bytes(Vec::new()), long.clone()), Err(too_long));
        // What is only compared needs no room.
        let exchanged = value.compare_exchange(&long, Scalar::Bytes(vec![1]));
        assert_eq!(exchanged, Ok((false, Scalar::Bytes(Vec::new()))));
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
        for held in [Scalar::Signed(1), Scalar::Unsigned(1), Scalar::Float(1.0), Scalar::Bytes(vec![1])] {
            let value = value(held.clone());
            let refuse = || Err(Refused::LockRequired);
            assert_eq!(value.set_if(held.clone(), refuse), Err(Refused::LockRequired));
            assert_eq!(value.compare_exchange_if(&held, held.clone(), refuse), Err(Refused::LockRequired));
            assert_eq!(value.get(), held);
            assert_eq!(value.set_if(held.clone(), || Ok::<_, Refused>(())), Ok(held.clone()));
            if held.kind() != ScalarKind::Bytes {
                assert_eq!(value.add_if(&held, refuse), Err(Refused::LockRequired));
                assert_eq!(value.get(), held);
            }
        }
    }

    #[test]
    fn panic_of_a_check_leaves_the_value_usable() {
        let value = value(Scalar::Signed(1));
        let panicked = thread::scope(|scope| {
            let add = || value.add_if::<ValueError>(&Scalar::Signed(1), || panic!("a broken invariant elsewhere"));
            scope.spawn(add).join()
        });
        assert!(panicked.is_err());
        assert_eq!(value.add_if(&Scalar::Signed(1), || Ok::<_, ValueError>(())), Ok(Scalar::Signed(1)));
    }

    #[test]
    fn settling_waits_for_the_change_whose_check_was_passed() {
        for (held, sum) in [(Scalar::Signed(1), Scalar::Signed(2)), (Scalar::Bytes(vec![1]), Scalar::Bytes(vec![2]))] {
            let value = value(held.clone());
            let (passed, until_passed) = mpsc::channel();
            let (go, until_go) = mpsc::channel();
            let (settled, until_settled) = mpsc::channel();
            thread::scope(|scope| {
                let (value, sum) = (&value, &sum);
                scope.spawn(move || {
                    let check = || {
                        passed.send(()).expect("the test listens");
                        until_go.recv().expect("the test speaks");
                        Ok::<_, ValueError>(())
                    };
                    value.set_if(sum.clone(), check).expect("it is allowed");
                });
                until_passed.recv().expect("the check is asked");
                scope.spawn(move || {
                    value.settle();
                    settled.send(value.get()).expect("the test listens");
                });
                assert!(until_settled.try_recv().is_err(), "the change has not been made");
                assert_eq!(value.kind(), held.kind(), "a look at the type needs no mutex");
                go.send(()).expect("the writer listens");
                assert_eq!(until_settled.recv(), Ok(sum.clone()));
            });
        }
    }

    #[test]
    fn threads_that_add_lose_nothing() {
        const THREADS: i64 = 4;
        const TIMES: i64 = 20_000;
        let (free, bound, float) = (value(Scalar::Signed(0)), value(Scalar::Signed(0)), value(Scalar::Float(0.0)));
        let bytes = value(Scalar::Bytes(vec![0; 4]));
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    for _ in 0..TIMES {
                        free.add(&Scalar::Signed(1)).expect("it fits");
                        bound.add_if(&Scalar::Signed(1), || Ok::<_, ValueError>(())).expect("it fits");
                        float.add(&Scalar::Float(1.0)).expect("it fits");
                        let mut now = bytes.get();
                        loop {
                            let Scalar::Bytes(text) = &now else { panic!("bytes stay bytes") };
                            let number = u32::from_le_bytes(text[..].try_into().expect("four bytes"));
                            let next = Scalar::Bytes((number + 1).to_le_bytes().into());
                            let (done, previous) = bytes.compare_exchange(&now, next).expect("it fits");
                            if done {
                                break;
                            }
                            now = previous;
                        }
                    }
                });
            }
        });
        let all = THREADS * TIMES;
        assert_eq!((free.get(), bound.get()), (Scalar::Signed(all), Scalar::Signed(all)));
        assert_eq!(float.get(), Scalar::Float(all as f64));
        assert_eq!(bytes.get(), Scalar::Bytes((all as u32).to_le_bytes().into()));
    }
}
