//! Whether some bytes are one line of a jsonl file.

use serde::de::IgnoredAny;

/// How deep arrays and objects may lie in each other. The same as what serde_json reads into a value; common readers in
/// other languages stop at a few hundred to a thousand.
pub(crate) const JSON_DEPTH_MAX: usize = 127;

/// Why some bytes are no line of a jsonl file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JsonFault {
    /// The first byte that is wrong, or the length if something is missing.
    pub(crate) at: usize,
    /// What is wrong with it.
    pub(crate) reason: String,
}

impl JsonFault {
    fn new(at: usize, reason: impl Into<String>) -> JsonFault {
        JsonFault { at, reason: reason.into() }
    }
}

/// Checks that `record`, without the newline at its end, is one JSON value in UTF-8 on one line. Only the syntax is
/// looked at: numbers may be too large for a reader, names may repeat, and an escaped half of a surrogate pair may stand
/// alone.
pub(crate) fn check_json_line(record: &[u8]) -> Result<(), JsonFault> {
    if let Some(at) = memchr::memchr3(b'\n', b'\r', 0, record) {
        let reason = if record[at] == 0 { "a zero byte" } else { "a line break (write it as \\n inside a string)" };
        return Err(JsonFault::new(at, reason));
    }
    let text = str::from_utf8(record).map_err(|error| JsonFault::new(error.valid_up_to(), "not UTF-8"))?;
    if let Err(error) = serde_json::from_str::<IgnoredAny>(text) {
        // The column of an error at the end is the last byte's.
        let at = if error.is_eof() { record.len() } else { error.column().saturating_sub(1) };
        let message = error.to_string();
        let reason = message.rfind(" at line ").map_or(message.as_str(), |end| &message[..end]);
        return Err(JsonFault::new(at, reason));
    }
    // Skipping a value costs serde_json no stack, so it does not limit the depth there.
    match too_deep(record) {
        Some(at) => Err(JsonFault::new(at, format!("nested more than {JSON_DEPTH_MAX} deep"))),
        None => Ok(()),
    }
}

/// Where valid JSON first exceeds the depth.
fn too_deep(json: &[u8]) -> Option<usize> {
    // Nearly every line is told by this, which takes many bytes at a time.
    if json.iter().filter(|&&byte| matches!(byte, b'[' | b'{')).count() <= JSON_DEPTH_MAX {
        return None;
    }
    let mut depth = 0;
    let mut at = 0;
    while let Some(&byte) = json.get(at) {
        match byte {
            b'"' => at += string_len(&json[at..]) - 1,
            b'[' | b'{' if depth == JSON_DEPTH_MAX => return Some(at),
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
    None
}

/// The length of the string that `json` begins with, quotes included.
fn string_len(json: &[u8]) -> usize {
    let mut at = 1;
    while let Some(found) = memchr::memchr2(b'"', b'\\', &json[at..]) {
        at += found + 1;
        if json[at - 1] == b'"' {
            break;
        }
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_on_one_line_is_a_json_line_and_nothing_else_is() {
        for good in ["1", " {\"a\":[1,2.5e3,null,true]} ", "\"\\u00e4\\n\"", "\"\\\\\"", "\"\u{2028}\"", "\"[[\\\"[\""]
        {
            assert_eq!(check_json_line(good.as_bytes()), Ok(()), "{good}");
        }
        let bad: [(&[u8], usize); 11] = [
            (b"", 0),
            (b"  ", 2),
            (b"1 2", 2),
            (b"{\"a\":}", 5),
            (b"{\"a\":1", 6),
            (b"\"a\nb\"", 2),
            (b"[1,\r2]", 3),
            (b"1\n", 1),
            (b"\"\0\"", 1),
            (b"\"\xff\"", 1),
            (b"NaN", 0),
        ];
        for (record, at) in bad {
            let fault = check_json_line(record).expect_err("it is no JSON line");
            assert_eq!(fault.at, at, "{:?}: {}", record.escape_ascii().to_string(), fault.reason);
            assert!(!fault.reason.contains("line 1"), "{}", fault.reason);
        }
    }

    #[test]
    fn many_values_beside_each_other_and_brackets_in_strings_are_not_deep() {
        let wide = format!("[{}[]]", "[\"[{\\\"[\"],".repeat(1000));
        assert_eq!(check_json_line(wide.as_bytes()), Ok(()));
    }

    #[test]
    fn what_passes_is_not_too_deep_for_a_reader_that_builds_values() {
        let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        for depth in [1, JSON_DEPTH_MAX] {
            assert_eq!(check_json_line(nested(depth).as_bytes()), Ok(()));
            assert!(serde_json::from_str::<serde_json::Value>(&nested(depth)).is_ok());
        }
        for depth in [JSON_DEPTH_MAX + 1, 100_000] {
            assert_eq!(check_json_line(nested(depth).as_bytes()).map_err(|fault| fault.at), Err(JSON_DEPTH_MAX));
            assert!(serde_json::from_str::<serde_json::Value>(&nested(depth)).is_err());
        }
    }
}
