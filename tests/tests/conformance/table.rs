//! What there is, and where it is written down.

use std::fmt::Write;

use lockkeeper_guest_programs::sync::CASES;
use lockkeeper_tests::workspace;

use crate::PROGRAMS;

const BEGIN: &str = "<!-- cases: begin -->\n";
const END: &str = "<!-- cases: end -->\n";

#[test]
fn every_program_with_cases_has_a_test() {
    for case in CASES {
        assert!(PROGRAMS.contains(&case.program), "{} has no test", case.program);
    }
}

#[test]
fn table_in_the_readme_has_every_case_where_it_belongs() {
    let path = workspace().join("tests/README.md");
    let text = std::fs::read_to_string(&path).expect("the README of the tests");
    let found = text.split_once(BEGIN).and_then(|(_, rest)| rest.split_once(END)).map(|(table, _)| table);
    let expected = table();
    assert!(
        found == Some(expected.as_str()),
        "tests/README.md does not list the cases as they are; paste this between its two marks:\n\n{BEGIN}{expected}{END}"
    );
}

/// A row for each test of CPython's, in the order of the cases.
fn table() -> String {
    let mut rows: Vec<(&str, &str, &str, Vec<&str>)> = Vec::new();
    for case in CASES {
        let (test, _) = case.name.split_once('@').unwrap_or((case.name, ""));
        let same =
            |row: &&mut (&str, &str, &str, Vec<&str>)| (row.0, row.1, row.2) == (case.origin, test, case.program);
        match rows.iter_mut().find(same) {
            Some((.., cases)) => cases.push(case.name),
            None => rows.push((case.origin, test, case.program, vec![case.name])),
        }
    }
    let mut table = "| where it comes from | test | program | cases |\n|---|---|---|---|\n".to_owned();
    for (origin, test, program, cases) in rows {
        let cases: Vec<String> = cases.iter().map(|case| format!("`{case}`")).collect();
        writeln!(table, "| {origin} | {test} | `{program}` | {} |", cases.join(", ")).expect("a string takes all");
    }
    table
}
