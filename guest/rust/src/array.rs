//! Numbers or bytes that processes share, several in a row.

use std::marker::PhantomData;

use crate::bindings::lockkeeper::runtime::{objects, value as host};
use crate::error::Error;
use crate::value::Number;

pub(crate) mod sealed {
    use super::{host, objects};

    /// The two ways between elements of a type of Rust and the contract's one type for all.
    pub trait Element: Copy {
        const NAME: &'static str;
        const ELEMENT: objects::Element;
        fn to_wit(elements: &[Self]) -> host::Scalars;
        fn from_wit(scalars: host::Scalars) -> Option<Vec<Self>>;
    }
}

/// A type that the elements of an [`Array`] can have: `i64`, `u64`, `f64`, or `u8` for bytes.
pub trait Element: sealed::Element {}

macro_rules! element {
    ($($type:ty => $case:ident, $element:ident, $name:literal;)+) => {
        $(
            impl sealed::Element for $type {
                const NAME: &'static str = $name;
                const ELEMENT: objects::Element = objects::Element::$element;

                fn to_wit(elements: &[Self]) -> host::Scalars {
                    host::Scalars::$case(elements.to_vec())
                }

                fn from_wit(scalars: host::Scalars) -> Option<Vec<Self>> {
                    match scalars {
                        host::Scalars::$case(elements) => Some(elements),
                        _ => None,
                    }
                }
            }

            impl Element for $type {}
        )+
    };
}

element! {
    i64 => Signed, Signed, "i64";
    u64 => Unsigned, Unsigned, "u64";
    f64 => Float, Float, "f64";
    u8 => Bytes, Byte, "bytes";
}

/// A handle of one array of the job, in the host's memory for the life of the job. Its elements start at zero.
///
/// Each call is one step that no other comes between, also where it is about several elements. If the job binds the
/// array to a lock, only a process that holds that lock at the moment can change it.
///
/// ```no_run
/// use lockkeeper_guest::{Array, Error, process};
///
/// # fn main() -> Result<(), Error> {
/// let sums = Array::<f64>::open("sums")?;
/// sums.add(process::current().rank, 0.5)?;
/// sums.add_slice(0, &[1.0, 2.0, 3.0])?;
/// println!("{:?}", sums.slice(0, sums.len())?);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Array<T> {
    handle: host::Array,
    length: u32,
    of: PhantomData<fn() -> T>,
}

#[expect(clippy::len_without_is_empty, reason = "the job gives an array its length, and no job needs an empty one")]
impl<T: Element> Array<T> {
    /// Opens the array that the job calls `name`: 1 to 64 bytes of `A-Z a-z 0-9 . _ / -`.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`]; [`Error::Denied`] when there is no such array for this process; [`Error::Limit`] when
    /// too many handles are open; [`Error::InvalidArgument`] when its elements are of another type.
    pub fn open(name: &str) -> Result<Self, Error> {
        let handle = host::Array::open(name).map_err(Error::from_wit)?;
        let length = handle.length();
        if T::from_wit(handle.get(0, length.min(1)).map_err(Error::from_wit)?).is_none() {
            return Err(Error::InvalidArgument(format!("the array `{name}` is not of the type {}", T::NAME)));
        }
        Ok(Self { handle, length, of: PhantomData })
    }

    /// How many elements it has: the job says so, and it does not change.
    pub fn len(&self) -> u32 {
        self.length
    }

    /// The element at this index, at this moment.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`].
    pub fn get(&self, index: u32) -> Result<T, Error> {
        Ok(self.slice(index, 1)?[0])
    }

    /// Sets the element at this index.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`]; [`Error::LockRequired`] when the job binds the array to a lock that this process does not
    /// hold.
    pub fn set(&self, index: u32, to: T) -> Result<(), Error> {
        self.set_slice(index, &[to])
    }

    /// So many elements from an index on, as they are at one moment.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`].
    pub fn slice(&self, start: u32, count: u32) -> Result<Vec<T>, Error> {
        let elements = self.handle.get(start, count).map_err(Error::from_wit)?;
        Ok(T::from_wit(elements).expect("the host keeps the type of an array"))
    }

    /// Sets elements from an index on, in one step.
    ///
    /// # Errors
    ///
    /// As [`Array::set`]; nothing is set then.
    pub fn set_slice(&self, start: u32, to: &[T]) -> Result<(), Error> {
        self.handle.set(start, &T::to_wit(to)).map_err(Error::from_wit)
    }
}

impl<T: Number> Array<T> {
    /// Adds to the element at this index.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`], also when the sum does not fit; [`Error::LockRequired`] when the job binds the array to a
    /// lock that this process does not hold. Nothing is added then.
    pub fn add(&self, index: u32, delta: T) -> Result<(), Error> {
        self.add_slice(index, &[delta])
    }

    /// Adds to elements from an index on, in one step.
    ///
    /// # Errors
    ///
    /// As [`Array::add`]; if one sum does not fit, nothing is added.
    pub fn add_slice(&self, start: u32, deltas: &[T]) -> Result<(), Error> {
        self.handle.add(start, &sealed::Element::to_wit(deltas)).map_err(Error::from_wit)
    }
}
