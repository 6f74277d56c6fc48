//! What CPython's own tests say of `multiprocessing` and `threading`, as programs in `rows`: each row under `python3`, which
//! shows that it is what CPython does, and as a guest.
//!
//! A line of such a program is a row in one space: class, name, space and result, with tabs between. The table in
//! `tests/README.md` has them all.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;

use lockkeeper_tests::workspace;

use crate::support::{NOTHING, as_guest, program, text, under_cpython};

const BEGIN: &str = "<!-- rows: begin -->\n";
const END: &str = "<!-- rows: end -->\n";

/// What a guest may answer for a row that `harness.py` calls so.
const ONE_STACK: &str = "one stack";

/// One test for each program.
macro_rules! programs {
    ($($test:ident: $program:literal,)+) => {
        const PROGRAMS: &[&str] = &[$($program),+];

        $(
            #[test]
            fn $test() {
                all_of($program);
            }
        )+
    };
}

programs! {
    locks_pass_the_rows_of_cpython: "locks",
    semaphores_pass_the_rows_of_cpython: "semaphores",
    conditions_pass_the_rows_of_cpython: "conditions",
    events_pass_the_rows_of_cpython: "events",
    barriers_pass_the_rows_of_cpython: "barriers",
    values_pass_the_rows_of_cpython: "values",
    queues_pass_the_rows_of_cpython: "queues",
    processes_pass_the_rows_of_cpython: "processes",
    pools_pass_the_rows_of_cpython: "pools",
    managers_pass_the_rows_of_cpython: "managers",
}

#[test]
fn every_program_with_rows_has_a_test_and_a_place_in_the_table() {
    let folder = workspace().join("tests/tests/python/rows");
    let files = fs::read_dir(folder).expect("the folder of the rows").map(|entry| entry.expect("a file").path());
    let names = files.filter(|path| path.extension().is_some_and(|extension| extension == "py"));
    let mut names: BTreeSet<String> =
        names.map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned()).collect();
    names.remove("harness");
    assert_eq!(names, PROGRAMS.iter().map(|&name| name.to_owned()).collect());
    let in_table = table().lines().skip(2).map(|line| line.split('`').nth(3).unwrap_or(line).to_owned()).collect();
    assert_eq!(names, in_table);
}

/// One row in one space.
struct Told {
    class: String,
    row: String,
    space: String,
    result: String,
}

fn told(output: &str) -> Vec<Told> {
    let told = |line: &str| {
        let parts: Vec<&str> = line.split('\t').collect();
        let [class, row, space, result] = parts[..] else { panic!("this is no row: {line:?}") };
        let [class, row, space, result] = [class, row, space, result].map(str::to_owned);
        Told { class, row, space, result }
    };
    output.lines().map(told).collect()
}

fn all_of(name: &str) {
    let path = program("rows", name);
    let dir = tempfile::tempdir().expect("a directory");
    let guest = as_guest(&path, dir.path(), NOTHING);
    let native = under_cpython(&path, NOTHING);
    let (here, there) = (told(&text(&guest.stdout)), told(&text(&native.stdout)));
    assert_eq!(guest.status.code(), Some(0), "as a guest it said:\n{}", text(&guest.stderr));
    let mut flaws = flaws("as a guest", &here, &["ok", "not here:", ONE_STACK]);
    flaws.extend(self::flaws("under python3", &there, &["ok", "not here:", "skipped:"]));
    assert!(flaws.is_empty(), "{}\n\nas a guest it said:\n{}", flaws.join("\n"), text(&guest.stderr));
    let names = |rows: &[Told]| -> Vec<String> {
        rows.iter().map(|told| format!("{}.{} {}", told.class, told.row, told.space)).collect()
    };
    assert_eq!(names(&here), names(&there));
    let wanted = lines(name, &here);
    let found: String = table().split_inclusive('\n').filter(|line| line.contains(&format!("| `{name}` |"))).collect();
    assert!(
        found == wanted,
        "tests/README.md does not list the rows of `{name}` as they are; paste these lines over those of that program:\n\n{wanted}"
    );
}

fn flaws(wherever: &str, rows: &[Told], good: &[&str]) -> Vec<String> {
    let is_bad = |told: &&Told| !good.iter().any(|good| told.result.starts_with(good));
    let tell = |told: &Told| format!("{}.{} ({}) {wherever}: {}", told.class, told.row, told.space, told.result);
    rows.iter().filter(is_bad).map(tell).collect()
}

/// The table in the README.
fn table() -> String {
    let text = fs::read_to_string(workspace().join("tests/README.md")).expect("the README of the tests");
    let table = text.split_once(BEGIN).and_then(|(_, rest)| rest.split_once(END));
    table.expect("a table between its two marks").0.to_owned()
}

/// The lines of a program in the table: a row has what came of it in each space.
fn lines(program: &str, rows: &[Told]) -> String {
    let mut lines = String::new();
    let mut done = BTreeSet::new();
    for Told { class, row, .. } in rows {
        if !done.insert((class, row)) {
            continue;
        }
        let result = |spaces: &[&str]| {
            let of = |told: &&Told| &told.class == class && &told.row == row && spaces.contains(&told.space.as_str());
            rows.iter().find(of).map_or("", |told| told.result.as_str())
        };
        let [processes, threads, manager] = [&["processes"][..], &["threads", "threading"], &["manager"]].map(result);
        writeln!(lines, "| {class} | `{row}` | `{program}` | {processes} | {threads} | {manager} |").expect("a string");
    }
    lines
}
