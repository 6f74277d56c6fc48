//! What a process was started with, in one line that a shell would read the same way.

use std::fmt;

/// A line longer than this is cut: it is for people, and the log takes no longer ones.
const LINE_BYTES_MAX: usize = 64 << 10;

/// A program and its arguments.
pub(super) struct CommandLine<'a> {
    pub(super) program: &'a str,
    pub(super) args: &'a [String],
}

impl fmt::Display for CommandLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = quoted(self.program);
        let mut args = self.args.iter();
        while line.len() <= LINE_BYTES_MAX {
            let Some(arg) = args.next() else { return f.write_str(&line) };
            line.push(' ');
            line.push_str(&quoted(arg));
        }
        line.truncate(line.floor_char_boundary(LINE_BYTES_MAX));
        write!(f, "{line} ..")
    }
}

/// A word in quotes, if it needs them. Nothing in it breaks a line or a column.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "-_./:=,+@%^".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    if !word.chars().any(char::is_control) {
        return format!("'{}'", word.replace('\'', r"'\''"));
    }
    let escaped = word.chars().map(|c| match c {
        '\t' => r"\t".to_owned(),
        '\n' => r"\n".to_owned(),
        '\r' => r"\r".to_owned(),
        '\\' | '\'' => format!("\\{c}"),
        c if c.is_control() => format!("\\u{:04x}", u32::from(c)),
        c => c.to_string(),
    });
    format!("$'{}'", escaped.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_quoted_as_a_shell_wants_it_and_never_breaks_the_line() {
        let words = ["a.txt", "", "two words", "it's", "$HOME", "a\tb\nc", "\u{1b}[2J\\'"];
        let expected = ["a.txt", "''", "'two words'", r"'it'\''s'", "'$HOME'", r"$'a\tb\nc'", r"$'\u001b[2J\\\''"];
        assert_eq!(words.map(quoted), expected);
    }

    #[test]
    fn a_line_that_is_too_long_is_cut_and_says_so() {
        let args: Vec<String> = (0..100_000).map(|index| format!("in-{index}")).collect();
        let line = CommandLine { program: "p.wasm", args: &args }.to_string();
        assert!(line.len() < LINE_BYTES_MAX + 100 && line.ends_with(" .."), "{} bytes", line.len());
    }
}
