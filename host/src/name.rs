//! The names of locks and files: one grammar for manifests, flags and guests.

use std::fmt;
use std::sync::Arc;

/// The longest name, in bytes. Long enough for `team/job/part`, short enough for a table on a terminal.
pub const NAME_BYTES_MAX: usize = 64;

/// The name of a lock or an append file: 1 to 64 bytes of `A-Z a-z 0-9 . _ / -`, compared as bytes.
///
/// A name is never used as a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

/// Why a text is no name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It has no bytes.
    #[error("a name must not be empty")]
    Empty,
    /// It is longer than [`NAME_BYTES_MAX`].
    #[error("a name has at most {NAME_BYTES_MAX} bytes; this one has {bytes}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// It has a character outside the grammar.
    #[error("a name has only A-Z a-z 0-9 . _ / - in it, not {character:?}")]
    Character {
        /// The first such character.
        character: char,
    },
}

impl Name {
    /// Checks the grammar.
    pub fn new(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > NAME_BYTES_MAX {
            return Err(NameError::TooLong { bytes: text.len() });
        }
        match text.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '/' | '-'))) {
            Some(character) => Err(NameError::Character { character }),
            None => Ok(Self(text.into())),
        }
    }

    /// What a guest asks for: a name, or the id of an object that was made at run time, which is `#` and a number. No job
    /// can declare such a name.
    pub(crate) fn asked(text: &str) -> Result<Self, NameError> {
        match text.strip_prefix('#') {
            Some(number) if number.len() <= 20 && !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) => {
                Ok(Self(text.into()))
            }
            _ => Self::new(text),
        }
    }

    /// The id of an object that was made at run time.
    pub(crate) fn object(number: u64) -> Self {
        Self(format!("#{number}").into())
    }

    /// Whether it is such an id.
    pub(crate) fn is_object(&self) -> bool {
        self.0.starts_with('#')
    }

    /// What the end of the process of this number is called where it is waited for.
    pub(crate) fn end_of(process: u64) -> Self {
        Self(format!("process/{process}").into())
    }

    /// What is called so in a message that comes later than its end.
    pub(crate) fn gone() -> Self {
        Self("gone".into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl serde::Serialize for Name {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_grammar_is_a_name() {
        assert!(Name::new("team/job-1/part_2.csv").is_ok());
        assert!(Name::new(&"x".repeat(NAME_BYTES_MAX)).is_ok());
        assert_eq!(Name::new(""), Err(NameError::Empty));
        assert_eq!(Name::new(&"x".repeat(65)), Err(NameError::TooLong { bytes: 65 }));
        for bad in ["a b", "a\0b", "é", "a\\b", "a\nb"] {
            assert!(matches!(Name::new(bad), Err(NameError::Character { .. })), "{bad:?}");
        }
    }
}
