//! The csv machine against the csv crate, which is what most readers agree with.

use proptest::prelude::*;

use crate::csv_scan::one_record;
use crate::scan::{FormatKind, Found, Scan, Start};

fn scan(bytes: &[u8]) -> Found {
    let mut scan = Scan::new(FormatKind::Csv, Start::default());
    scan.feed(bytes);
    scan.finish()
}

fn rows_of(bytes: &[u8]) -> Vec<csv::ByteRecord> {
    csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(bytes)
        .into_byte_records()
        .collect::<Result<_, _>>()
        .unwrap()
}

/// Few letters, so that quotes, commas and line breaks meet often.
fn csv_like() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["\"", ",", "\n", "\r", "a", "\u{e4}", "\u{feff}"]), 0..24)
        .prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rows_and_columns_of_any_bytes_are_those_of_the_csv_crate(text in csv_like()) {
        let found = scan(text.as_bytes());
        let whole = usize::try_from(found.end).unwrap();
        let rows = rows_of(&text.as_bytes()[..whole]);
        prop_assert_eq!(found.records, rows.len() as u64);
        prop_assert_eq!(found.columns, rows.first().map(csv::ByteRecord::len));
        // What lies behind is no whole record: a newline of its own outside quotes would have ended one.
        if whole < text.len() {
            let with_more = format!("{text}\n");
            let more = scan(with_more.as_bytes());
            let whole_now = usize::try_from(more.end).unwrap();
            prop_assert!(whole_now == whole || whole_now == with_more.len());
        }
    }

    #[test]
    fn what_the_strict_machine_accepts_is_one_record_wherever_it_stands(text in csv_like()) {
        if let Ok(columns) = one_record(&text) {
            let file = format!("x\n{text}\ny\n");
            let rows = rows_of(file.as_bytes());
            prop_assert_eq!(rows.len(), 3);
            prop_assert_eq!(rows[1].len(), columns);
            prop_assert_eq!(scan(file.as_bytes()).end, file.len() as u64);
        }
    }
}

#[test]
fn the_strict_machine_refuses_what_readers_disagree_on() {
    use crate::error::InvalidRecord::{LineBreak, NoFields, StrayQuote, UnclosedQuote};
    let cases = [
        ("", NoFields),
        ("a\nb", LineBreak { at: 1 }),
        ("a\rb", LineBreak { at: 1 }),
        ("a\n", LineBreak { at: 1 }),
        ("\n", LineBreak { at: 0 }),
        ("\"a\"\n\"b\"", LineBreak { at: 3 }),
        ("a\"b", StrayQuote { at: 1 }),
        ("\"a\"b", StrayQuote { at: 3 }),
        ("\"a", UnclosedQuote),
        ("a,\"b\n", UnclosedQuote),
    ];
    for (record, expected) in cases {
        assert_eq!(one_record(record), Err(expected), "{record:?}");
    }
    let good = [("a", 1), (",", 2), ("\"\"", 1), ("\"a\n\r\",b", 2), ("a b, \u{e4}", 2), ("\"\"\"\",", 2)];
    for (record, columns) in good {
        assert_eq!(one_record(record), Ok(columns), "{record:?}");
    }
}
