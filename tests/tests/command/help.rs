//! Where a newcomer looks first: `inspect`, `doctor` and `--help`.

use crate::support::{Place, end, guest, guest_p1};

#[test]
fn inspect_lists_imports_and_how_to_grant_what_they_are_for() {
    let place = Place::new();
    let ended = place.run(&["inspect", &guest("lock_append")]);
    ended.assert_code(0);
    for words in
        ["runs as a command: yes", "lockkeeper:runtime/mutex@0.1.0", "--lock NAME", "--append NAME=FILE", "wasi:cli/"]
    {
        assert!(ended.out().contains(words), "`{words}` is missing in\n{ended}");
    }
    let values = place.run(&["inspect", &guest("sync_value")]);
    for words in ["wants locks (mutex, event, barrier, latch)", "--lock NAME[:KIND]", "wants values", "--value NAME"] {
        assert!(values.out().contains(words), "`{words}` is missing in\n{values}");
    }
    let plain = place.run(&["inspect", &guest("cli_hello")]);
    plain.assert_code(0);
    assert!(!plain.out().contains("--lock"), "it wants no locks:\n{plain}");
    place.run(&["inspect", &guest_p1("cli_hello")]).assert_code(0);
}

#[test]
fn inspect_says_what_this_host_does_not_have_and_is_no_failure() {
    let place = Place::new();
    place.write("unknown.wat", r#"(component (import "acme:things/stuff@1.0.0" (instance (export "f" (func)))))"#);
    let ended = place.run(&["inspect", "unknown.wat"]);
    ended.assert_code(0);
    assert!(ended.out().contains("acme:things/stuff@1.0.0    (this host does not have it)"), "{ended}");
    assert!(ended.out().contains("runs as a command: no"), "{ended}");

    let json = place.run(&["inspect", "--json", "unknown.wat"]);
    json.assert_code(0);
    let inspection: serde_json::Value = serde_json::from_str(json.out()).expect("one JSON object");
    assert_eq!(inspection["imports"][0]["name"], "acme:things/stuff@1.0.0");
    assert_eq!(inspection["imports"][0]["known"], false);
    assert_eq!(inspection["is_command"], false);

    place.run(&["inspect", "nothere.wasm"]).assert_refused(&["there is no program at nothere.wasm"]);
}

#[test]
fn doctor_finds_everything_where_the_tests_run() {
    let place = Place::new();
    let ended = place.run(&["doctor"]);
    ended.assert_code(0);
    assert!(ended.out().lines().all(|line| line.starts_with("ok ")), "{ended}");
    assert!(ended.out().contains("state directory"), "{ended}");
    let json = place.run(&["doctor", "--json"]);
    json.assert_code(0);
    for line in json.out().lines() {
        let check: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"));
        assert_eq!(check["ok"], true, "{line}");
    }
}

/// A file where the directory should be stands for one that cannot be written to: root may write anywhere else.
#[test]
fn doctor_names_a_state_directory_and_a_cache_directory_that_cannot_be_used() {
    let place = Place::new();
    place.write("taken", "");
    for (variable, check) in [("LOCKKEEPER_STATE_DIR", "state directory"), ("LOCKKEEPER_CACHE_DIR", "cache directory")]
    {
        let mut command = place.lockkeeper(&["doctor"]);
        command.env(variable, place.path("taken"));
        let ended = end(command, b"");
        ended.assert_code(1);
        let path = place.path("taken").display().to_string();
        let wrong: Vec<&str> = ended.out().lines().filter(|line| line.starts_with("wrong ")).collect();
        assert!(wrong.len() == 1 && wrong[0].contains(check) && wrong[0].contains(&path), "{ended}");
    }
}

#[test]
fn a_run_whose_state_directory_cannot_be_used_says_which_and_how_to_choose_another() {
    let place = Place::new();
    place.write("taken", "");
    let ended = place.run(&["run", "--state-dir", "taken", "--lock", "a", &guest("lock_next"), "--", "a"]);
    ended.assert_code(73).assert_says(&["lock `a`", "taken/", "--state-dir"]).assert_readable();
    // Without locks there are no fences to remember.
    place.run(&["run", "--state-dir", "taken", &guest("cli_hello")]).assert_code(0);
}

#[test]
fn help_lists_every_limit_with_its_default() {
    let place = Place::new();
    for subcommand in ["run", "map"] {
        let ended = place.run(&[subcommand, "--help"]);
        ended.assert_code(0);
        let words = ended.out().split_whitespace().collect::<Vec<_>>().join(" ");
        let limits = [
            ("--timeout", "for ever"),
            ("--max-memory", "256MiB"),
            ("--max-handles", "1000"),
            ("--max-call", "2MiB"),
            ("--max-hold", "for ever"),
            ("--max-holds", "64"),
            ("--max-waiters", "100000"),
            ("--fair", "bounded"),
            ("--after-death", "flag"),
            ("--max-output", "64MiB"),
            ("--max-record", "1MiB"),
            ("--durability", "written"),
            ("--max-file-bytes", "no limit"),
            ("--max-file-records", "no limit"),
            ("--reserve", "0"),
            ("--max-append-bytes", "no limit"),
            ("--max-append-records", "no limit"),
            ("--shards", "one per core"),
        ];
        for (flag, default) in limits {
            let told = words.split_once(&format!("{flag} <")).unwrap_or_else(|| panic!("no {flag} in\n{ended}")).1;
            let told = told.split(" --").next().unwrap_or_default();
            assert!(told.contains(&format!("[default: {default}]")), "{subcommand} {flag}: {told}");
        }
    }
}

/// The defaults in the help are text; this is what they are text about.
#[test]
fn the_defaults_in_the_help_are_those_of_the_library() {
    let limits = lockkeeper::Limits::default();
    assert_eq!(limits.timeout, None);
    assert_eq!(limits.memory_bytes_max, 256 << 20);
    assert_eq!(limits.handles_max, 1_000);
    assert_eq!(limits.call_bytes_max, 2 << 20);
    assert_eq!(limits.output_bytes_max, 64 << 20);
    assert_eq!(limits.held_back_bytes_max, 64 << 20);
    assert_eq!(lockkeeper::RECORD_BYTES_MAX, 1 << 20);
    assert_eq!((limits.append_bytes_max, limits.append_records_max), (None, None));
    assert_eq!(lockkeeper::Durability::default(), lockkeeper::Durability::Written);
    let locks = lockkeeper::LockLimits::default();
    assert_eq!((locks.holds_per_owner_max, locks.waiters_per_lock_max), (64, 100_000));
    assert_eq!(lockkeeper::LockConfig::default().after_death, lockkeeper::AfterDeath::Flag);
}

#[test]
fn help_of_run_and_map_lists_every_kind_of_lock_and_type_of_value() {
    let place = Place::new();
    for subcommand in ["run", "map"] {
        let ended = place.run(&[subcommand, "--help"]);
        let words = ended.out().split_whitespace().collect::<Vec<_>>().join(" ");
        for word in [
            "NAME[:KIND[:ARG]]",
            "mutex",
            "rlock",
            "rwlock",
            "once",
            "event",
            "semaphore:PERMITS",
            "signal:PERMITS",
            "condition:LOCK",
            "barrier:PARTIES",
            "latch:COUNT",
            "queue:ITEMS",
            "NAME[:TYPE[:LENGTH]][=N]",
            "i64",
            "u64",
            "f64",
            "bytes",
        ] {
            assert!(words.contains(word), "`{word}` is missing in\n{ended}");
        }
    }
    assert!(place.run(&["run", "--help"]).out().contains("--placement"));
    assert!(place.run(&["map", "--help"]).out().contains("--max-held-back"));
}

#[test]
fn help_without_a_word_shows_the_subcommands_and_exit_codes() {
    let place = Place::new();
    let help = place.run(&["--help"]);
    help.assert_code(0);
    for word in ["run", "map", "file", "inspect", "doctor", "74", "76", "124", "134", "101", "130"] {
        assert!(help.out().contains(word), "`{word}` is missing in\n{help}");
    }
    place.run(&[]).assert_code(2).assert_says(&["Usage: lockkeeper", "doctor"]);
    place.run(&["rum"]).assert_code(2).assert_says(&["'rum'", "'run'"]);
}
