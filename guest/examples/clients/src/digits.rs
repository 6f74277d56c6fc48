//! Images of handwritten digits: 64 pixels and a label in each row.

use std::fmt;

/// Pixels of an image, 8 rows of 8.
pub const PIXELS: usize = 64;
/// Digits there are.
pub const CLASSES: usize = 10;
/// The darkest pixel in the file.
const INK_MAX: u8 = 16;

/// One image and what it shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Digit {
    /// The ink of each pixel, row by row, scaled to 0..=1.
    pub pixels: [f64; PIXELS],
    /// The digit, 0..=9.
    pub label: usize,
}

/// A row that is not 64 pixels of 0..=16 and a digit of 0..=9.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRow {
    /// Its number in the file, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub why: String,
}

impl fmt::Display for BadRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.why)
    }
}

impl std::error::Error for BadRow {}

/// Reads the rows of a file without a header.
///
/// # Errors
///
/// The first row that is none.
pub fn parse(text: &str) -> Result<Vec<Digit>, BadRow> {
    text.lines().enumerate().map(|(index, row)| parse_row(row).map_err(|why| BadRow { line: index + 1, why })).collect()
}

fn parse_row(row: &str) -> Result<Digit, String> {
    let fields: Vec<u8> = row
        .split(',')
        .map(|field| field.trim().parse().map_err(|_| format!("`{field}` is not a number of 0..=255")))
        .collect::<Result<_, _>>()?;
    let Some((&label, inks)) = fields.split_last().filter(|(_, inks)| inks.len() == PIXELS) else {
        return Err(format!("{} fields instead of {}", fields.len(), PIXELS + 1));
    };
    if let Some(ink) = inks.iter().find(|&&ink| ink > INK_MAX) {
        return Err(format!("the pixel {ink} is above {INK_MAX}"));
    }
    if usize::from(label) >= CLASSES {
        return Err(format!("the label {label} is not a digit"));
    }
    let mut pixels = [0.0; PIXELS];
    for (pixel, &ink) in pixels.iter_mut().zip(inks) {
        *pixel = f64::from(ink) / f64::from(INK_MAX);
    }
    Ok(Digit { pixels, label: usize::from(label) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(ink: &str, label: &str) -> String {
        format!("{}{label}", format!("{ink},").repeat(PIXELS))
    }

    #[test]
    fn pixels_are_scaled_to_one() {
        let digits = parse(&format!("{}\n{}\n", row("16", "9"), row("4", "0"))).expect("both rows are good");
        assert_eq!(digits.len(), 2);
        assert_eq!((digits[0].pixels[63], digits[0].label), (1.0, 9));
        assert_eq!((digits[1].pixels[0], digits[1].label), (0.25, 0));
    }

    #[test]
    fn row_that_is_none_is_named_by_its_line() {
        for (bad, why) in [
            (row("17", "1"), "the pixel 17 is above 16"),
            (row("0", "10"), "the label 10 is not a digit"),
            (row("x", "1"), "`x` is not a number of 0..=255"),
            ("1,2".to_owned(), "2 fields instead of 65"),
        ] {
            let error = parse(&format!("{}\n{bad}\n", row("0", "0"))).expect_err(why);
            assert_eq!(error.to_string(), format!("line 2: {why}"));
        }
    }
}
