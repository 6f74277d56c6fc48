//! What cannot be run is refused before anything is started: one sentence that says where it is wrong and what to write.

use crate::support::{Place, guest};

/// A job that is right, for one line of it to be made wrong.
const GOOD: &str = r#"version = 1
[lock.results]
kind = "mutex"
[file.results]
path = "out/results.csv"
format = "csv"
header = ["client", "loss"]
requires-lock = "results"
if-exists = "replace"
[[process]]
name = "hello"
program = "PROGRAM"
count = 2
args = ["{rank}"]
grants = { lock = ["results"], file = ["results"] }
limits = { memory = "64MiB", timeout = "60s" }
"#;

/// Every way to get a line wrong: the line, what stands there instead, the line that is blamed, and what is said.
const WRONG_LINES: &[(&str, &str, usize, &[&str])] = &[
    ("kind = \"mutex\"", "knd = \"mutex\"", 3, &["unknown key `knd`", "did you mean `kind`?"]),
    ("count = 2", "cuont = 2", 13, &["unknown key `cuont`", "did you mean `count`?"]),
    ("[[process]]", "[[proces]]", 10, &["unknown key `proces`", "did you mean `process`?"]),
    ("lock = [\"results\"]", "lock = [\"result\"]", 15, &["unknown lock `result`", "did you mean `results`?"]),
    ("file = [\"results\"]", "file = [\"reslts\"]", 15, &["unknown file `reslts`", "did you mean `results`?"]),
    ("file = [\"results\"]", "file = [\"log\"]", 15, &["unknown file `log`", "known here: results"]),
    ("{ lock =", "{ locks =", 15, &["unknown key `locks`", "did you mean `lock`?"]),
    ("requires-lock = \"results\"", "requires-lock = \"reslts\"", 8, &["unknown lock", "did you mean `results`?"]),
    ("requires-lock", "require-lock", 8, &["unknown key", "did you mean `requires-lock`?"]),
    ("format = \"csv\"", "format = \"cvs\"", 6, &["unknown value `cvs`", "did you mean `csv`?"]),
    ("format = \"csv\"", "format = \"lines\"", 4, &["`lines` file has no header", "format = \"csv\""]),
    ("kind = \"mutex\"", "kind = \"mutx\"", 3, &["unknown value `mutx`", "did you mean `mutex`?"]),
    ("\"replace\"", "\"overwrite\"", 9, &["unknown value `overwrite`", "append, replace, refuse"]),
    ("\"64MiB\"", "\"64 miles\"", 16, &["`64 miles` is no size", "64MiB"]),
    ("\"64MiB\"", "64", 16, &["integer `64`", "a size in quotes, such as \"64MiB\""]),
    ("\"60s\"", "\"soon\"", 16, &["`soon` is no time", "60s"]),
    ("\"60s\"", "60", 16, &["integer `60`", "a time in quotes, such as \"60s\""]),
    ("count = 2", "count = 0", 13, &["count = 0 is out of range", "1 to 10000"]),
    ("count = 2", "count = \"two\"", 13, &["a whole number"]),
    ("name = \"hello\"", "name = \"\"", 11, &["a name must not be empty"]),
    ("[lock.results]", "[lock.\"a b\"]", 2, &["a name has only A-Z a-z 0-9"]),
    ("program = \"PROGRAM\"\n", "", 10, &["the key `program` is missing"]),
    ("version = 1\n", "", 1, &["the key `version` is missing"]),
    ("version = 1", "version = 2", 1, &["version 2 is not known", "version = 1"]),
    // Another version may have other keys: the version is what is wrong.
    ("version = 1", "version = 2\nfuture = true", 1, &["version 2 is not known", "version = 1"]),
    ("version = 1", "version = 1\n[lock.results]", 3, &["for the second time"]),
    ("limits =", "[[process]]\nname = \"hello\"\nprogram = \"x\"\nlimits =", 17, &["two processes are called `hello`"]),
    ("[[process]]", "[[process", 10, &["expected `]]`"]),
    ("[[process]]", "[process]", 10, &["a table where a list", "[[..]]"]),
    ("grants = {", "grants = { dir = [\":read-only\"],", 15, &["is no directory grant", "HOST[::GUEST]"]),
];

#[test]
fn a_manifest_with_one_wrong_line_is_refused_with_file_line_and_remedy() {
    let good = GOOD.replace("PROGRAM", &guest("cli_hello"));
    for (right, wrong, line, words) in WRONG_LINES {
        let place = Place::new();
        let manifest = good.replacen(&right.replace("PROGRAM", &guest("cli_hello")), wrong, 1);
        assert_ne!(manifest, good, "`{right}` is in the manifest");
        let ended = place.run_manifest(&manifest);
        ended.assert_refused(words).assert_says(&[&format!("error: job.toml:{line} (`")]);
        assert!(!place.exists("out"), "an output was made in spite of\n{ended}");
    }
}

#[test]
fn the_manifest_that_the_wrong_ones_are_made_of_is_right() {
    let place = Place::new();
    place.run_manifest(&GOOD.replace("PROGRAM", &guest("cli_hello"))).assert_code(0);
    assert_eq!(place.read("out/results.csv"), "client,loss\n");
}

#[test]
fn a_job_whose_processes_would_miss_a_file_or_a_directory_is_refused_and_keeps_the_old_results() {
    let wrong = [
        ("inputs = [\"nofile-{rank}\"]", "the input nofile-0 is not a file"),
        ("inputs = [\".\"]", "the input . is not a file"),
        ("grants = { dir = [\"nodir:read-only\"] }", "nodir is not a directory"),
    ];
    for (line, words) in wrong {
        let place = Place::new();
        let good = GOOD.replace("PROGRAM", &guest("cli_hello"));
        place.run_manifest(&good).assert_code(0);
        place.write("out/results.csv", "client,loss\n1,old\n");
        let key = line.split(' ').next().unwrap_or_default();
        let kept =
            good.lines().filter(|kept| !kept.starts_with(key)).fold(String::new(), |text, kept| text + kept + "\n");
        let ended = place.run_manifest(&(kept + line));
        ended.assert_refused(&["hello: ", words, "nothing was started"]);
        assert_eq!(place.read("out/results.csv"), "client,loss\n1,old\n", "{ended}");
    }
}

/// The refusal comes from the host, which knows where the files are; by then it must not have emptied one of them.
#[test]
fn a_directory_that_would_open_a_way_past_the_lock_is_refused_and_keeps_the_old_results() {
    let place = Place::new();
    let good = GOOD.replace("PROGRAM", &guest("cli_hello"));
    place.run_manifest(&good).assert_code(0);
    place.write("out/results.csv", "client,loss\n1,old\n");
    let ended = place.run_manifest(&good.replace("grants = {", "grants = { dir = [\"out\"],"));
    ended.assert_refused(&["`hello-0` may write in out", "`results`", "read-only"]);
    assert_eq!(place.read("out/results.csv"), "client,loss\n1,old\n", "{ended}");
}

#[test]
fn a_missing_manifest_and_one_without_processes_are_refused() {
    let place = Place::new();
    place.run(&["run", "job.toml"]).assert_refused(&["job.toml cannot be read", "No such file"]);
    place.run_manifest("version = 1\n").assert_refused(&["there is no [[process]] to run"]);
}

#[test]
fn a_missing_program_is_refused_with_the_way_to_build_it_if_there_is_one() {
    let place = Place::new();
    place.run(&["run", "nothere.wasm"]).assert_refused(&["there is no program at nothere.wasm", "build it first"]);

    let missing = GOOD.replace("PROGRAM", "nothere.wasm");
    let ended = place.run_manifest(&missing);
    ended.assert_refused(&["there is no program at nothere.wasm"]);
    assert!(!ended.err().contains("--build"), "there is nothing that could build it:\n{ended}");

    let buildable = missing.replace("count = 2", "count = 2\nbuild = \"true\"");
    place.run_manifest(&buildable).assert_refused(&["nothere.wasm", "`lockkeeper run --build job.toml` builds it"]);
    assert!(!place.exists("out"));
}

#[test]
fn a_file_that_is_no_command_is_refused_with_what_to_do() {
    let place = Place::new();
    let component = |text: &str| wat::parse_str(text).expect("the test's own text is right");
    let unknown = r#"(component (import "acme:things/stuff@1.0.0" (instance (export "f" (func)))))"#;
    let programs: [(&str, Vec<u8>, &[&str]); 5] = [
        ("text.wasm", b"hello, world\n".to_vec(), &["is not a WebAssembly component or module", "wasm32-wasip2"]),
        ("empty.wasm", Vec::new(), &["is not a WebAssembly component or module", "wasm32-wasip2"]),
        ("library.wasm", component("(module (func (export \"add\")))"), &["is not a WASI 0.1 command", "_start"]),
        ("no-run.wasm", component("(component)"), &["exports no `wasi:cli/run`", "main function"]),
        ("unknown.wasm", component(unknown), &["imports `acme:things/stuff@1.0.0`", "lockkeeper inspect"]),
    ];
    for (name, bytes, words) in programs {
        place.write(name, bytes);
        for count in ["1", "3"] {
            let ended = place.run(&["run", "-n", count, "--append", "results=out.csv", name]);
            ended.assert_refused(words).assert_says(&[name]);
            assert!(!place.exists("out.csv"), "an output was made in spite of\n{ended}");
        }
    }
}

#[test]
fn a_flag_with_a_wrong_value_is_refused_with_what_to_write_instead() {
    let place = Place::new();
    let hello = guest("cli_hello");
    let wrong: &[(&[&str], &[&str])] = &[
        (&["-n", "0"], &["'0'", "--processes", "give 1 to 10000"]),
        (&["-n", "4000000000"], &["'4000000000'", "give 1 to 10000"]),
        (&["-n", "two"], &["'two'", "give 1 to 10000"]),
        (&["--build"], &["--build goes with a manifest"]),
        (&["--lock", "a:rwlock"], &["`rwlock` is no kind of lock", "write --lock a:mutex"]),
        (&["--lock", "a b"], &["A-Z a-z 0-9"]),
        (&["--lock", "a", "--lock", "a"], &["`a` is declared twice"]),
        (&["--append", "f=f", "--append", "a b=g"], &["--append a b=g", "A-Z a-z 0-9"]),
        (&["--append", "x"], &["--append x", "write NAME=FILE[:FORMAT]"]),
        (&["--append", "x=f", "--append", "x=g"], &["`x` is declared twice"]),
        (&["--append", "x=f.txt", "--header", "x=a,b"], &["f.txt is a `lines` file", "add :csv to --append"]),
        (&["--header", "x=a,b"], &["there is no --append x=FILE"]),
        (&["--timeout", "soon"], &["`soon` is no time", "60s, 250ms or 2h"]),
        (&["--max-memory", "lots"], &["`lots` is no size", "64MiB"]),
        (&["--max-record", "10 miles"], &["`10 miles` is no size", "64MiB"]),
        (&["--if-exists", "maybe"], &["'maybe'", "append, replace, refuse"]),
        (&["--dir", "nodir"], &["nodir is not a directory", "nothing was started"]),
        (&["--dir", "::/guest"], &["is no directory grant", "HOST[::GUEST]"]),
        (&["--dir", ".::/guest:readonly"], &["is no directory grant", ":read-only"]),
        (&["--append", "f=o.csv:jsonl"], &["`jsonl` is no format", "f=o.csv:csv"]),
    ];
    for (flags, words) in wrong {
        let ended = place.run(&[&["run"], *flags, &[&hello]].concat());
        assert_eq!(ended.code, 2, "{flags:?}:\n{ended}");
        assert!(ended.stdout.is_empty(), "nothing is printed before it is refused:\n{ended}");
        ended.assert_says(words).assert_says(&["error: "]).assert_readable();
        assert!(
            !["f", "g", "f.txt", "x"].iter().any(|name| place.exists(name)),
            "a file was made in spite of\n{ended}"
        );
    }
}

#[test]
fn flags_that_a_manifest_says_itself_are_refused_beside_one() {
    let place = Place::new();
    place.write("job.toml", GOOD.replace("PROGRAM", &guest("cli_hello")));
    place.run(&["run", "job.toml", "-n", "3"]).assert_refused(&["`count`"]);
    place.run(&["run", "job.toml", "--", "a"]).assert_refused(&["`args`"]);
    place.run(&["run", "job.toml", "--timeout", "5s"]).assert_refused(&["`limits`"]);
    assert!(!place.exists("out"));
}
