//! A number or bytes that processes share.

use std::marker::PhantomData;

use crate::bindings::lockkeeper::runtime::value as host;
use crate::error::Error;

pub(crate) mod sealed {
    use super::host;

    /// The two ways between a type of Rust and the contract's one type for all.
    pub trait Scalar: Sized {
        const NAME: &'static str;
        fn to_wit(self) -> host::Scalar;
        fn from_wit(scalar: host::Scalar) -> Option<Self>;
    }
}

/// A type that a [`Value`] can have: `i64`, `u64`, `f64`, or `Vec<u8>`.
pub trait Scalar: sealed::Scalar {}

/// A type that can be added to: `i64`, `u64`, `f64`.
pub trait Number: Scalar + crate::array::Element {}

macro_rules! scalar {
    ($($type:ty => $case:ident, $name:literal;)+) => {
        $(
            impl sealed::Scalar for $type {
                const NAME: &'static str = $name;

                fn to_wit(self) -> host::Scalar {
                    host::Scalar::$case(self)
                }

                fn from_wit(scalar: host::Scalar) -> Option<Self> {
                    match scalar {
                        host::Scalar::$case(value) => Some(value),
                        _ => None,
                    }
                }
            }

            impl Scalar for $type {}
        )+
    };
}

scalar! {
    i64 => Signed, "i64";
    u64 => Unsigned, "u64";
    f64 => Float, "f64";
    Vec<u8> => Bytes, "bytes";
}

impl Number for i64 {}
impl Number for u64 {}
impl Number for f64 {}

/// What [`Value::compare_exchange`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchanged<T> {
    /// Whether the value was the expected one, and so is the new one now.
    pub done: bool,
    /// The value before.
    pub previous: T,
}

/// A handle of one value of the job, in the host's memory for the life of the job. The job says of which type it is.
///
/// Each call is one step that no other comes between: [`Value::add`] loses nothing, without any lock. If the job binds
/// the value to a lock, only a process that holds that lock at the moment can change it. A process that dies leaves
/// whole values.
///
/// ```no_run
/// use lockkeeper_guest::{Error, Value};
///
/// # fn main() -> Result<(), Error> {
/// let count = Value::<i64>::open("count")?;
/// let before = count.add(1)?;
/// println!("{before} were before this process");
///
/// let best = Value::<f64>::open("best")?;
/// best.update(|old| old.max(0.75))?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Value<T> {
    handle: host::Value,
    of: PhantomData<fn() -> T>,
}

impl<T: Scalar> Value<T> {
    /// Opens the value that the job calls `name`: 1 to 64 bytes of `A-Z a-z 0-9 . _ / -`.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`]; [`Error::Denied`] when there is no such value for this process; [`Error::Limit`] when
    /// too many handles are open; [`Error::InvalidArgument`] when the value is of another type.
    pub fn open(name: &str) -> Result<Self, Error> {
        let handle = host::Value::open(name).map_err(Error::from_wit)?;
        if T::from_wit(handle.get()).is_none() {
            return Err(Error::InvalidArgument(format!("the value `{name}` is not of the type {}", T::NAME)));
        }
        Ok(Self { handle, of: PhantomData })
    }

    /// The value at this moment.
    pub fn get(&self) -> T {
        typed(self.handle.get())
    }

    /// Sets the value, and answers the one before.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] for too many bytes; [`Error::LockRequired`] when the job binds the value to a lock that
    /// this process does not hold.
    pub fn set(&self, to: T) -> Result<T, Error> {
        self.handle.set(&to.to_wit()).map(typed).map_err(Error::from_wit)
    }

    /// Sets the value if it is the expected one. Floating-point numbers are compared by their bits.
    ///
    /// # Errors
    ///
    /// As [`Value::set`]. That the value is another one is no error.
    pub fn compare_exchange(&self, expected: T, to: T) -> Result<Exchanged<T>, Error> {
        let exchanged = self.handle.compare_exchange(&expected.to_wit(), &to.to_wit()).map_err(Error::from_wit)?;
        Ok(Exchanged { done: exchanged.done, previous: typed(exchanged.previous) })
    }

    /// Sets the value to what `change` makes of it, and answers the one before. If another process changes the value
    /// meanwhile, `change` is called again, with what that one made of it: each time, somebody has got further.
    ///
    /// # Errors
    ///
    /// As [`Value::set`].
    pub fn update(&self, mut change: impl FnMut(&T) -> T) -> Result<T, Error> {
        let mut old = self.get();
        loop {
            let new = change(&old);
            let exchanged = self.compare_exchange(old, new)?;
            if exchanged.done {
                return Ok(exchanged.previous);
            }
            old = exchanged.previous;
        }
    }
}

impl<T: Number> Value<T> {
    /// Adds to the value, and answers the one before.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] when the sum does not fit, and then nothing is added; [`Error::LockRequired`] when the job
    /// binds the value to a lock that this process does not hold.
    pub fn add(&self, delta: T) -> Result<T, Error> {
        self.handle.add(&sealed::Scalar::to_wit(delta)).map(typed).map_err(Error::from_wit)
    }
}

/// The value as its type, which `open` has checked.
fn typed<T: Scalar>(scalar: host::Scalar) -> T {
    T::from_wit(scalar).expect("the host keeps the type of a value")
}
