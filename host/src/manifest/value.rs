//! What `[value.NAME]` says, made into a value or an array.

use std::fmt;

use lockkeeper_locks::{Scalar, ScalarKind, Scalars};
use serde::Deserialize;
use serde::de::{Deserializer, Visitor};
use toml::Spanned;

use super::{Manifest, ManifestError, Size};
use crate::byte_size::ByteSize;
use crate::job::{VALUE_BYTES_MAX, ValueContent, ValueSpec};

/// How many bytes a value of bytes may have, if nothing else is said: as many as a record.
pub const VALUE_BYTES_DEFAULT: u32 = 1 << 20;

/// `[value.NAME]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct ValueTable {
    r#type: Option<Spanned<TypeName>>,
    initial: Option<Spanned<Initial>>,
    length: Option<Spanned<u32>>,
    max_bytes: Option<Spanned<Size>>,
    requires_lock: Option<Spanned<String>>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum TypeName {
    #[default]
    I64,
    U64,
    F64,
    Bytes,
}

/// What a value is to start with, as it is written.
#[derive(Clone, Debug, PartialEq)]
enum Initial {
    Whole(i128),
    Float(f64),
    Text(String),
}

impl<'de> Deserialize<'de> for Initial {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl Visitor<'_> for Any {
            type Value = Initial;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, or a text in quotes for bytes,")
            }

            fn visit_i64<E>(self, number: i64) -> Result<Initial, E> {
                Ok(Initial::Whole(number.into()))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Initial, E> {
                Ok(Initial::Whole(number.into()))
            }

            fn visit_i128<E>(self, number: i128) -> Result<Initial, E> {
                Ok(Initial::Whole(number))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Initial, E> {
                Ok(Initial::Float(number))
            }

            fn visit_str<E>(self, text: &str) -> Result<Initial, E> {
                Ok(Initial::Text(text.to_owned()))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

impl fmt::Display for Initial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(number) => number.fmt(f),
            Self::Float(number) => number.fmt(f),
            Self::Text(text) => write!(f, "{text:?}"),
        }
    }
}

impl TypeName {
    fn kind(self) -> ScalarKind {
        match self {
            Self::I64 => ScalarKind::Signed,
            Self::U64 => ScalarKind::Unsigned,
            Self::F64 => ScalarKind::Float,
            Self::Bytes => ScalarKind::Bytes,
        }
    }

    /// What a value of this type starts with that is written so.
    fn scalar(self, initial: Option<&Initial>) -> Result<Scalar, String> {
        let scalar = match (self, initial) {
            (Self::I64, None) => Some(Scalar::Signed(0)),
            (Self::U64, None) => Some(Scalar::Unsigned(0)),
            (Self::F64, None) => Some(Scalar::Float(0.0)),
            (Self::Bytes, None) => Some(Scalar::Bytes(Vec::new())),
            (Self::I64, Some(Initial::Whole(number))) => i64::try_from(*number).ok().map(Scalar::Signed),
            (Self::U64, Some(Initial::Whole(number))) => u64::try_from(*number).ok().map(Scalar::Unsigned),
            (Self::F64, Some(Initial::Whole(number))) => Some(Scalar::Float(*number as f64)),
            (Self::F64, Some(Initial::Float(number))) => Some(Scalar::Float(*number)),
            (Self::Bytes, Some(Initial::Text(text))) => Some(Scalar::Bytes(text.clone().into_bytes())),
            _ => None,
        };
        let wants = match self {
            Self::I64 => "an i64 is a whole number; write one, or another `type`",
            Self::U64 => "a u64 is a whole number, 0 or more; write one, or another `type`",
            Self::F64 => "an f64 is a number; write one, or type = \"bytes\"",
            Self::Bytes => "bytes are a text in quotes; write one, or another `type`",
        };
        let written = || initial.map_or_else(String::new, Initial::to_string);
        scalar.ok_or_else(|| format!("initial = {} does not fit: {wants}", written()))
    }
}

impl ValueTable {
    /// The value or the array that the table describes.
    pub(super) fn plan(&self, manifest: &Manifest, name: &Spanned<String>) -> Result<ValueSpec, ManifestError> {
        let kind = self.r#type.as_ref().map(|kind| *kind.get_ref()).unwrap_or_default();
        let requires_lock = match &self.requires_lock {
            Some(lock) => Some(manifest.exclusive("a value", lock)?),
            None => None,
        };
        let initial = self.initial.as_ref();
        let content = match (&self.length, &self.max_bytes) {
            (Some(_), Some(max)) => {
                let message =
                    "`max-bytes` belongs to a single value; an array has its `length`: take one of the two away";
                return manifest.wrong(max.span(), message);
            }
            (Some(length), None) => {
                if let Some(initial) = initial {
                    let message = "`initial` belongs to a single value; an array starts with zeros: take one of \
                                   `initial` and `length` away";
                    return manifest.wrong(initial.span(), message);
                }
                array(kind.kind(), *length.get_ref()).or_else(|message| manifest.wrong(length.span(), message))?
            }
            (None, max) => {
                let bytes_max = match (kind, max) {
                    (TypeName::Bytes, None) => VALUE_BYTES_DEFAULT,
                    (TypeName::Bytes, Some(max)) => match u32::try_from(max.get_ref().0.0) {
                        Ok(bytes) if u64::from(bytes) <= VALUE_BYTES_MAX => bytes,
                        _ => {
                            let most = ByteSize(VALUE_BYTES_MAX);
                            return manifest
                                .wrong(max.span(), format!("a value has at most {most}; write that or less"));
                        }
                    },
                    (_, None) => 0,
                    (_, Some(max)) => {
                        let message = "`max-bytes` belongs to type = \"bytes\"; a number has 8: take it away";
                        return manifest.wrong(max.span(), message);
                    }
                };
                let place = initial.map_or(name.span(), Spanned::span);
                let scalar = kind.scalar(initial.map(Spanned::get_ref));
                let initial = scalar.or_else(|message| manifest.wrong(place.clone(), message))?;
                if let Scalar::Bytes(bytes) = &initial
                    && bytes.len() > bytes_max as usize
                {
                    let message =
                        format!("these are {} bytes, and `max-bytes` allows {bytes_max}; change one", bytes.len());
                    return manifest.wrong(place, message);
                }
                ValueContent::Value { initial, bytes_max }
            }
        };
        Ok(ValueSpec { name: name.get_ref().clone(), content, requires_lock })
    }
}

/// An array of so many zeros, if it is not too long.
pub fn array(kind: ScalarKind, length: u32) -> Result<ValueContent, String> {
    let each = if kind == ScalarKind::Bytes { 1 } else { 8 };
    let most = VALUE_BYTES_MAX / each;
    if length == 0 || u64::from(length) > most {
        return Err(format!("an array has 1 to {most} elements of this type, not {length}"));
    }
    Ok(ValueContent::Array(Scalars::zeroed(kind, length)))
}
