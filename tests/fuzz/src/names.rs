//! Any text where a name is wanted.

use std::path::Path;
use std::str::FromStr;

use lockkeeper_journal::{FormatKind, RecordId, detect};

// The rules stand in a crate that brings a WebAssembly runtime with it.
#[expect(dead_code, reason = "ids of objects are made by the host alone")]
#[path = "../../../host/src/name.rs"]
mod name;

use name::{NAME_BYTES_MAX, Name};

/// Takes the bytes for a name, a record id, the word for a format and a file name.
pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let fits = (1..=NAME_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|byte| matches!(byte, b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'/' | b'-'));
    match Name::new(&text) {
        Ok(name) => {
            assert!(fits, "{text:?} is no name");
            assert_eq!((name.as_str(), name.to_string().as_str()), (&*text, &*text), "a name is its text");
        }
        Err(error) => {
            assert!(!fits, "{text:?} is a name: {error}");
            assert!(!error.to_string().contains(char::is_control), "an error is one line");
        }
    }

    let fits = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match RecordId::from_str(&text) {
        Ok(id) => assert!(fits && id.to_string() == text.to_ascii_lowercase(), "{text:?} is no id"),
        Err(_) => assert!(!fits, "{text:?} is an id"),
    }
    let id = RecordId::of(data);
    assert_eq!(id.to_string().parse(), Ok(id), "an id is read back");

    match FormatKind::from_str(&text) {
        Ok(kind) => assert_eq!(kind.as_str(), text, "a format has one word"),
        Err(error) => assert!(!error.to_string().contains('\n'), "an error is one line"),
    }
    let (name, first_bytes) = data.split_at(data.len() / 2);
    let kind = detect(first_bytes, Path::new(&*String::from_utf8_lossy(name)));
    assert!(FormatKind::from_str(kind.as_str()) == Ok(kind), "a format is read back");
}
