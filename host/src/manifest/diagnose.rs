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
    let message = match (message.split_once(' '), words.next()) {
        (Some(("unknown", rest)), Some(unknown)) => {
            let known: Vec<&str> = words.collect();
            let kind = if rest.starts_with("variant") { "value" } else { "key" };
            unknown_word(kind, unknown, &known)
        }
        (Some(("missing", _)), Some(missing)) => format!("the key `{missing}` is missing here; add it"),
        (Some(("invalid", _)), _) => wrong_type(message),
        _ if message == "duplicate key" => "this stands here for the second time; keep one of the two".to_owned(),
        _ => message.to_owned(),
    };
    at(source, error.span().unwrap_or(0..0), message)
}

/// `invalid type: integer `5`, expected a string`, in the words of who writes a manifest.
fn wrong_type(message: &str) -> String {
    let Some((found, expected)) = message.split_once(", expected ") else {
        return message.to_owned();
    };
    let found = match found.split_once(": ").map_or(found, |(_, found)| found) {
        "map" => "a table",
        "sequence" => "a list",
        found => found,
    };
    let expected = match expected {
        "u32" | "u64" => "a whole number, 0 or more,",
        "a boolean" => "true or false",
        "a string" | "path string" => "a text in quotes",
        "a sequence" => "a list in brackets (or one or more [[..]] tables)",
        "a map" => "a table",
        expected if expected.starts_with("struct ") => "a table",
        expected => expected,
    };
    format!("{found} where {expected} belongs")
}

/// Says that a word is not known, which one was probably meant, and which there are.
pub fn unknown_word(kind: &str, unknown: &str, known: &[&str]) -> String {
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
    let likeness = |other: &str| {
        let one_slip = strsim::damerau_levenshtein(word, other) == 1;
        // Among words that are one slip away the one that begins like it: `lock` and not `clocks` for `locks`.
        strsim::jaro_winkler(word, other) + f64::from(u8::from(one_slip))
    };
    known.max_by(|a, b| likeness(a).total_cmp(&likeness(b))).filter(|other| likeness(other) > 0.7)
}
