//! What is wrong with a manifest, and what would have been right.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::PathBuf;

use super::Source;

/// What is wrong with a manifest.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It cannot be read.
    #[error("the manifest {} cannot be read: {source}", path.display())]
    Unreadable {
        /// Where it is.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Something in it is not right.
    #[error("{place}: {message}")]
    Wrong {
        /// Where.
        place: Place,
        /// What, and what to do.
        message: String,
    },
}

/// A place in a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The manifest.
    pub path: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The text of the line.
    pub text: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{} (`{}`)", self.path.display(), self.line, self.text.trim())
    }
}

/// An error at a place given in bytes.
pub(super) fn at(source: &Source, span: Range<usize>, message: String) -> ManifestError {
    let start = span.start.min(source.text.len());
    let line = source.text[..start].matches('\n').count();
    let text = source.text.lines().nth(line).unwrap_or_default().to_owned();
    ManifestError::Wrong { place: Place { path: source.path.clone(), line: line + 1, text }, message }
}

/// An error of the TOML reader, with the nearest word if one was unknown.
pub(super) fn syntax(source: &Source, error: &toml::de::Error) -> ManifestError {
    let message = error.message();
    let mut words = message.split('`').skip(1).step_by(2);
    let message = match (message.starts_with("unknown"), words.next()) {
        (true, Some(unknown)) => {
            let known: Vec<&str> = words.collect();
            let kind = if message.starts_with("unknown variant") { "value" } else { "key" };
            unknown_word(kind, unknown, &known)
        }
        _ => message.to_owned(),
    };
    at(source, error.span().unwrap_or(0..0), message)
}

/// Says that a word is not known, which one was probably meant, and which there are.
pub(super) fn unknown_word(kind: &str, unknown: &str, known: &[&str]) -> String {
    let nearest = nearest(unknown, known.iter().copied());
    let meant = nearest.map_or_else(String::new, |nearest| format!(", did you mean `{nearest}`?"));
    let list = match known {
        [] => "there are none here".to_owned(),
        known => format!("known here: {}", known.join(", ")),
    };
    format!("unknown {kind} `{unknown}`{meant} ({list})")
}

/// The known word that is most like `word`, if any is like it at all.
fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let likeness = |other: &str| strsim::jaro_winkler(word, other);
    known.max_by(|a, b| likeness(a).total_cmp(&likeness(b))).filter(|other| likeness(other) > 0.7)
}
