//! A program starts whatever it is granted, and what it is not granted is refused when it is used.

use crate::TESTS;
use crate::case::{Kind, case};
use crate::support::{Place, end, guest, guest_p1};

const NOTHING: [&str; 8] = ["--random", "none", "--clocks", "none", "--max-open-files", "0", "--max-handles", "0"];

/// Every program here imports all of WASI that its standard library knows: files, sockets, clocks, random bytes.
#[test]
fn every_case_starts_with_nothing_granted_and_ends_by_itself() {
    for (name, _) in TESTS {
        for kind in [Kind::Component, Kind::Module] {
            let (ended, _place) = case(name).flags(&NOTHING).run(kind);
            assert!([0, 1, 134].contains(&ended.code), "{name}, {kind:?}:\n{ended}");
            assert!(!ended.err().contains("does not fit") && !ended.err().contains("which this host"), "{ended}");
        }
    }
}

#[test]
fn without_random_bytes_who_asks_for_them_traps_and_hash_tables_of_components_work() {
    case("random_keys_differ").flags(&["--random", "none"]).each(|kind, ended| match kind {
        Kind::Component => _ = ended.assert_code(0),
        Kind::Module => _ = ended.assert_code(134).assert_says(&["granted no random bytes", "--random none"]),
    });
}

/// By name and rank: two processes of one run do not have the same ones.
#[test]
fn seeded_random_bytes_are_the_same_in_every_run_and_others_for_each_process() {
    let place = Place::new();
    for program in [guest("cli_wasi"), guest_p1("cli_wasi")] {
        let run = |seed: &str| {
            let args = ["run", "-n", "3", "--random", seed, &program, "--", "random_keys_differ"];
            let ended = place.run(&args);
            ended.assert_code(0);
            let mut lines: Vec<_> = ended.out().lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        let (first, again, other) = (run("seed:7"), run("seed:7"), run("seed:8"));
        assert_eq!(first, again);
        assert!(first.iter().zip(&other).all(|(one, two)| one != two), "{first:?} {other:?}");
        let keys: std::collections::HashSet<_> = first.iter().filter_map(|line| line.split(' ').nth(1)).collect();
        assert_eq!(keys.len(), 3, "{first:?}");
    }
}

#[test]
fn without_clocks_who_reads_one_traps() {
    for name in ["wall_clock_is_that_of_the_machine", "monotonic_clock_never_goes_back"] {
        case(name).flags(&["--clocks", "none"]).each(|_, ended| {
            ended.assert_code(134).assert_says(&["granted no clocks", "--clocks none"]);
        });
    }
}

#[test]
fn coarse_clocks_will_do_for_programs_that_only_wait() {
    for name in ["monotonic_clock_never_goes_back", "sleep_takes_as_long_as_it_says"] {
        case(name).flags(&["--clocks", "coarse"]).each(|_, ended| _ = ended.assert_code(0));
    }
}

#[test]
fn words_that_are_no_grants_are_refused() {
    let place = Place::new();
    let program = guest("cli_wasi");
    for (flag, word, told) in [
        ("--random", "seed", "seed:N"),
        ("--random", "some", "seed:N"),
        ("--clocks", "frozen", "coarse"),
        ("--cpu-share", "0", "1 to 100"),
        ("--cpu-share", "101", "1 to 100"),
        ("--max-output-rate", "0", "nothing can be printed"),
    ] {
        place.run(&["run", flag, word, &program]).assert_refused(&[flag, told]);
    }
}

#[test]
fn manifest_says_the_same_as_the_flags() {
    let place = Place::new();
    let program = guest("cli_wasi");
    std::fs::create_dir(place.path("d")).expect("a new directory");
    let ended = place.run_manifest(&format!(
        r#"
        version = 1
        [[process]]
        name = "keys"
        program = "{program}"
        count = 2
        args = ["random_keys_differ"]
        stdout = "keys-{{rank}}.txt"
        grants = {{ random = "seed:7" }}
        limits = {{ cpu-share = 50, output-rate = "1MiB", tables = 20, memories = 4, table-elements = 1000 }}
        [[process]]
        name = "files"
        program = "{program}"
        args = ["open_files_have_a_limit_and_closing_makes_room"]
        grants = {{ dir = ["d::/d"], clocks = "none" }}
        limits = {{ open-files = 2 }}
        stdout = "files.txt"
        "#
    ));
    ended.assert_code(0);
    assert_eq!(place.read("files.txt"), "2 files, then QuotaExceeded 19\none more: ok\n");
    assert_ne!(place.read("keys-0.txt"), place.read("keys-1.txt"));

    for (line, told) in [
        ("grants = { random = \"seed\" }", "seed:N"),
        ("grants = { clocks = 5 }", "coarse"),
        ("limits = { cpu-share = 0 }", "1 to 100"),
        ("limits = { output-rate = \"0\" }", "nothing can be printed"),
    ] {
        let process = format!("version = 1\n[[process]]\nname = \"p\"\nprogram = \"{program}\"\n{line}\n");
        place.run_manifest(&process).assert_refused(&["job.toml:5", told]);
    }
}

#[test]
fn streams_can_be_files_one_for_each_process() {
    let place = Place::new();
    place.write("in-0.txt", "zero\n");
    place.write("in-1.txt", "one\ntwo");
    let program = guest("cli_wasi");
    let ended = place.run(&[
        "run",
        "-n",
        "2",
        "--stdin",
        "in-{rank}.txt",
        "--stdout",
        "out-{rank}.txt",
        &program,
        "--",
        "lines_of_standard_input_arrive",
    ]);
    ended.assert_code(0);
    assert_eq!(ended.out(), "");
    assert_eq!((&place.read("out-0.txt")[..], &place.read("out-1.txt")[..]), ("\"zero\"\n", "\"one\"\n\"two\"\n"));
}

#[test]
fn output_and_error_in_one_file_stand_in_the_order_in_which_they_were_written() {
    let place = Place::new();
    place.write("all.txt", "from before, and longer than what comes now, so that it would be seen");
    let program = guest("cli_wasi");
    let both = ["run", "--stdout", "all.txt", "--stderr", "all.txt", &program, "--", "both_output_streams_are_apart"];
    let ended = place.run(&both);
    assert_eq!((ended.code, ended.out(), ended.err()), (0, "", ""));
    assert_eq!(place.read("all.txt"), "out 0\nerr 0\nout 1\nerr 1\nout 2\nerr 2\n");
}

#[test]
fn files_that_cannot_be_streams_are_refused_before_anything_starts() {
    let place = Place::new();
    place.write("log.txt", "a record\n");
    let program = guest("cli_wasi");
    let run = |flags: &[&str]| place.run(&[&["run"], flags, &[&program, "--", "arguments_arrive_in_order"]].concat());
    run(&["-n", "2", "--stdout", "out.txt"]).assert_refused(&["both print into out.txt", "{rank}"]);
    run(&["-n", "2", "--stdout", "o-{rank}.txt", "--stderr", "e.txt"]).assert_refused(&["both print into e.txt"]);
    run(&["--append", "log=log.txt", "--stdout", "./log.txt"]).assert_refused(&["append file `log`"]);
    run(&["--stdin", "missing.txt"]).assert_refused(&["missing.txt", "standard input"]);
    run(&["--stdout", "missing/out.txt"]).assert_refused(&["missing/out.txt", "standard output"]);
    assert_eq!(place.read("log.txt"), "a record\n");
}

/// A second of output is there at once; the rest of a mebibyte takes longer than another second.
#[test]
fn who_prints_more_than_its_rate_waits_and_loses_nothing() {
    let place = Place::new();
    for program in [guest("cli_wasi"), guest_p1("cli_wasi")] {
        let started = std::time::Instant::now();
        let ended = place.run(&[
            "run",
            "--max-output-rate",
            "500KB",
            "--stdout",
            "out.txt",
            &program,
            "--",
            "megabyte_passes_through_standard_output",
        ]);
        ended.assert_code(0);
        assert_eq!(place.read("out.txt").len(), 1 << 20);
        assert!(started.elapsed().as_secs_f64() > 1.0, "{:?}", started.elapsed());
    }
}

/// `script` of util-linux has a terminal for the command.
#[test]
fn terminal_gets_no_control_characters_from_a_single_process() {
    let place = Place::new();
    let binary = lockkeeper_tests::command();
    let run = format!("{} run {} -- every_byte_passes_through_standard_output", binary.display(), guest("cli_wasi"));
    let mut command = place.command("script");
    command.args(["--quiet", "--return", "--command", &run, "/dev/null"]);
    if std::process::Command::new("script").arg("--version").output().is_err() {
        return lockkeeper_tests::figure(format_args!("there is no `script` here, so no terminal was tried"));
    }
    let ended = end(command, b"");
    ended.assert_code(0);
    let text = String::from_utf8(ended.stdout).expect("what arrives is text");
    assert!(text.contains("!\"#$%&'()*+,-./0123456789"), "{text:?}");
    assert!(text.chars().all(|c| !c.is_control() || matches!(c, '\n' | '\r' | '\t')), "{text:?}");
}
