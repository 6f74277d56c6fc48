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
    ("format = \"csv\"", "format = \"lines\"", 7, &["`lines` file has no header", "format = \"csv\""]),
    ("kind = \"mutex\"", "kind = \"mutx\"", 3, &["unknown value `mutx`", "did you mean `mutex`?"]),
    ("\"replace\"", "\"overwrite\"", 9, &["unknown value `overwrite`", "append, replace, refuse"]),
    ("\"64MiB\"", "\"64 miles\"", 16, &["`64 miles` is no size", "64MiB"]),
    ("\"64MiB\"", "64", 16, &["integer `64`", "a size in quotes, such as \"64MiB\""]),
    ("\"60s\"", "\"soon\"", 16, &["`soon` is no time", "60s"]),
    ("\"60s\"", "60", 16, &["integer `60`", "a time in quotes, such as \"60s\""]),
    ("count = 2", "count = 0", 13, &["count = 0 is out of range", "1 to 100000"]),
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
    ("{ lock =", "{ value = [\"x\"], lock =", 15, &["unknown value `x`", "there are none here"]),
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

/// A table of a lock or a value that is wrong: what stands in it, the line of it that is blamed, and what is said.
const WRONG_TABLES: &[(&str, usize, &[&str])] = &[
    (
        "[lock.x]\npermits = 4",
        2,
        &["`permits` belongs to a semaphore; this is a mutex: take `permits` away, or write kind = \"semaphore\""],
    ),
    (
        "[lock.x]\nkind = \"barrier\"\nparties = 2\ncount = 2",
        4,
        &["`count` belongs to a latch; this is a barrier: take `count` away, or write kind = \"latch\""],
    ),
    (
        "[lock.x]\nkind = \"event\"\nmax-hold = \"2s\"",
        3,
        &["`max-hold` belongs to a mutex, an rlock, a rwlock, a semaphore or a once; this is an event"],
    ),
    (
        "[lock.x]\nkind = \"once\"\nafter-death = \"poison\"",
        3,
        &["`after-death` belongs to a mutex, an rlock or a rwlock; this is a once: take `after-death` away"],
    ),
    ("[lock.x]\nkind = \"semaphor\"", 2, &["unknown value `semaphor`, did you mean `semaphore`?", "rwlock"]),
    ("[lock.x]\nkind = \"semaphore\"", 2, &["a semaphore has permits: add permits = 4"]),
    ("[lock.x]\nkind = \"semaphore\"\npermits = 0", 3, &["0 owned permits", "permits-are = \"signal\""]),
    ("[lock.x]\nkind = \"semaphore\"\npermits = -1", 3, &["a whole number, 0 or more,"]),
    (
        "[lock.x]\nkind = \"semaphore\"\npermits = 2\nmaximum = 4",
        4,
        &["take `maximum` away, or write permits-are = \"signal\""],
    ),
    (
        "[lock.x]\nkind = \"semaphore\"\npermits-are = \"signal\"\npermits = 5\nmaximum = 4",
        5,
        &["maximum = 4 is too little; write 5 or more"],
    ),
    (
        "[lock.x]\nkind = \"semaphore\"\npermits-are = \"signal\"\npermits = 5\nmax-hold = \"1s\"",
        5,
        &["`max-hold` belongs to permits that somebody owns", "permits-are = \"owned\""],
    ),
    ("[lock.x]\nkind = \"condition\"", 2, &["a condition waits with a lock let go: add lock = \"NAME\""]),
    ("[lock.x]\nkind = \"condition\"\nlock = \"reslts\"", 3, &["unknown lock `reslts`, did you mean `results`?"]),
    (
        "[lock.x]\nkind = \"condition\"\nlock = \"y\"\n[lock.y]\nkind = \"queue\"",
        3,
        &["`y` is a queue; a condition waits with a mutex or an rlock let go: name one"],
    ),
    ("[lock.x]\nkind = \"barrier\"", 2, &["a barrier waits for a number of processes: add parties = 8"]),
    ("[lock.x]\nkind = \"barrier\"\nparties = 0", 3, &["a barrier of 0 parties never opens; give it at least 1"]),
    ("[lock.x]\nkind = \"latch\"", 2, &["a latch is counted down to zero: add count = 8"]),
    ("[lock.x]\nkind = \"queue\"\nitems = 0", 3, &["a queue of 0 items takes none; give it at least 1"]),
    ("[lock.x]\nkind = \"queue\"\nbytes = \"0B\"", 3, &["a queue of 0 bytes takes no item"]),
    ("[lock.x]\nkind = \"queue\"\nunfinished = 4", 3, &["write acknowledge = true, or take `unfinished` away"]),
    ("[lock.x]\nkind = \"queue\"\nacknowledge = \"yes\"", 3, &["string \"yes\" where true or false belongs"]),
    ("[lock.x]\nmax-hold = \"0s\"", 2, &["a hold that may not last is taken away at once", "such as 2s"]),
    ("[lock.x]\nmax-hold = 2", 2, &["integer `2`", "a time in quotes, such as \"60s\""]),
    ("[lock.x]\nfair = \"strict\"\nbarge-bound = \"1ms\"", 3, &["take `barge-bound` away, or `fair`"]),
    ("[value.x]\ntype = \"i32\"", 2, &["unknown value `i32`", "i64, u64, f64, bytes"]),
    ("[value.x]\ninitial = 1.5", 2, &["initial = 1.5 does not fit: an i64 is a whole number"]),
    ("[value.x]\ntype = \"u64\"\ninitial = -1", 3, &["initial = -1 does not fit: a u64 is a whole number, 0 or more"]),
    ("[value.x]\ntype = \"bytes\"\ninitial = 0", 3, &["initial = 0 does not fit: bytes are a text in quotes"]),
    ("[value.x]\ninitial = true", 2, &["a number, or a text in quotes for bytes, belongs"]),
    ("[value.x]\nmax-bytes = \"1KiB\"", 2, &["`max-bytes` belongs to type = \"bytes\""]),
    (
        "[value.x]\ntype = \"bytes\"\nmax-bytes = \"4B\"\ninitial = \"seven\"",
        4,
        &["these are 5 bytes, and `max-bytes` allows 4; change one"],
    ),
    ("[value.x]\nlength = 4\ninitial = 1", 3, &["an array starts with zeros"]),
    ("[value.x]\nlength = 0", 2, &["an array has 1 to 8388608 elements of this type, not 0"]),
    ("[value.x]\ntype = \"bytes\"\nmax-bytes = \"1GiB\"", 3, &["a value has at most 64 MiB"]),
    (
        "[value.x]\nrequires-lock = \"y\"\n[lock.y]\nkind = \"latch\"\ncount = 1",
        2,
        &["`y` is a latch, which nobody holds alone; bind a value to a mutex, rlock or rwlock"],
    ),
    ("[value.x]\nlenght = 4", 2, &["unknown key `lenght`, did you mean `length`?"]),
    ("[file.x]\npath = \"x\"\ndurabilty = \"synced\"", 3, &["unknown key `durabilty`, did you mean `durability`?"]),
    ("[file.x]\npath = \"x\"\ndurability = \"sync\"", 3, &["unknown value `sync`, did you mean `synced`?"]),
    ("[file.x]\npath = \"x\"\nformat = \"json\"", 3, &["unknown value `json`, did you mean `jsonl`?", "framed"]),
    (
        "[file.x]\npath = \"x\"\nformat = \"framed\"\nheader = [\"a\"]",
        4,
        &["a `framed` file has no header; take `header` away, or write format = \"csv\""],
    ),
    ("[file.x]\npath = \"x\"\nmax-byte = \"1GiB\"", 3, &["unknown key `max-byte`, did you mean `max-bytes`?"]),
    ("[file.x]\npath = \"x\"\nmax-bytes = 10", 3, &["integer `10`", "a size in quotes, such as \"64MiB\""]),
    ("[file.x]\npath = \"x\"\nmax-bytes = \"0B\"", 3, &["a file of 0 bytes takes no record"]),
    ("[file.x]\npath = \"x\"\nmax-records = 0", 3, &["a file of 0 records takes none; give it at least 1"]),
    ("[file.x]\npath = \"x\"\nmax-records = -1", 3, &["a whole number, 0 or more,"]),
    ("[file.x]\npath = \"x\"\nreserve = \"lots\"", 3, &["`lots` is no size"]),
    ("[file.x]\npath = \"x\"\nids = \"yes\"", 3, &["string \"yes\" where true or false belongs"]),
    ("[file.x]\npath = \"x\"\nallow-remot = true", 3, &["unknown key `allow-remot`, did you mean `allow-remote`?"]),
    ("[file.x]\npath = \"x\"\ngroup-window = 2", 3, &["a time in quotes"]),
    ("[file.x]\npath = \"x\"\ngroup-window = \"2s\"", 3, &["every sync waits for that long", "\"2ms\""]),
    (
        "[[process]]\nname = \"y\"\nprogram = \"y\"\nlimits = { append-byte = \"1GiB\" }",
        4,
        &["unknown key `append-byte`, did you mean `append-bytes`?"],
    ),
    ("[limits]\nholds = 0", 2, &["give it at least 1"]),
    ("[limits]\nwaiter = 5", 2, &["unknown key `waiter`, did you mean `waiters`?"]),
];

#[test]
fn a_wrong_table_of_a_lock_or_a_value_is_refused_with_file_line_and_remedy() {
    let good = GOOD.replace("PROGRAM", &guest("cli_hello"));
    let before = good.lines().count();
    for (table, line, words) in WRONG_TABLES {
        let place = Place::new();
        let ended = place.run_manifest(&format!("{good}{table}\n"));
        ended.assert_refused(words).assert_says(&[&format!("error: job.toml:{} (`", before + line)]);
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
        (&["-n", "0"], &["'0'", "--processes", "give 1 to 100000"]),
        (&["-n", "4000000000"], &["'4000000000'", "give 1 to 100000"]),
        (&["-n", "two"], &["'two'", "give 1 to 100000"]),
        (&["--build"], &["--build goes with a manifest"]),
        (&["--lock", "a:rwlok"], &["unknown kind `rwlok`, did you mean `rwlock`?", "write --lock a:KIND"]),
        (&["--lock", "a:mutex:1"], &["nothing comes after `mutex`", "write --lock a:mutex"]),
        (&["--lock", "s:semaphore"], &["a semaphore has a number of permits", "write --lock s:semaphore:4"]),
        (&["--lock", "s:semaphore:0"], &["at least 1", "write --lock s:semaphore:4"]),
        (&["--lock", "s:signal:many"], &["--lock s:signal:many", "write --lock s:signal:0"]),
        (&["--lock", "b:barrier:0"], &["a barrier waits for a number of processes, at least 1", "--lock b:barrier:8"]),
        (&["--lock", "l:latch"], &["a latch is counted down from a number", "write --lock l:latch:8"]),
        (&["--lock", "q:queue:0"], &["at least 1", "write --lock q:queue:100"]),
        (&["--lock", "c:condition"], &["write --lock c:condition:LOCK", "--lock LOCK"]),
        (&["--lock", "c:condition:l"], &["there is no `l` to let go", "add --lock l"]),
        (&["--lock", "l:rwlock", "--lock", "c:condition:l"], &["`l` is no mutex and no rlock"]),
        (&["--value", "a b"], &["--value a b", "A-Z a-z 0-9"]),
        (&["--value", "v", "--value", "v:f64"], &["`v` is declared twice"]),
        (&["--value", "v:int"], &["unknown type `int`", "i64, u64, f64, bytes", "write --value v:TYPE"]),
        (&["--value", "v=1.5"], &["`1.5` is no i64", "write --value v:f64=1.5"]),
        (&["--value", "v:u64=-1"], &["`-1` is no u64", "write --value v:u64=1"]),
        (&["--value", "v:f64:x"], &["`x` is no length", "write --value v:f64:100"]),
        (&["--value", "v:f64:9000000"], &["1 to 8388608 elements"]),
        (&["--value", "v:f64:4=1"], &["an array starts with zeros", "write --value v:f64:4"]),
        (&["--max-hold", "2s"], &["--max-hold: there is no lock", "mutex, rlock, rwlock, once or semaphore"]),
        (&["--lock", "e:event", "--max-hold", "2s"], &["--max-hold: there is no lock"]),
        (&["--lock", "a", "--max-hold", "0s"], &["a hold that may not last", "2s"]),
        (&["--fair", "strict"], &["--fair: there is no lock"]),
        (&["--lock", "a", "--fair", "yes"], &["'yes'", "strict, bounded"]),
        (&["--lock", "s:semaphore:1", "--after-death", "poison"], &["--after-death: there is no lock", "rwlock"]),
        (&["--max-holds", "0"], &["--max-holds", "1 or more"]),
        (&["--max-waiters", "none"], &["--max-waiters", "1 or more"]),
        (&["--placement", "away"], &["'away'", "home, spread"]),
        (&["--lock", "a b"], &["A-Z a-z 0-9"]),
        (&["--lock", "a", "--lock", "a"], &["`a` is declared twice"]),
        (&["--append", "f=f", "--append", "a b=g"], &["--append a b=g", "A-Z a-z 0-9"]),
        (&["--append", "x"], &["--append x", "write NAME=FILE[:FORMAT]"]),
        (&["--append", "x=f", "--append", "x=g"], &["`x` is declared twice"]),
        (&["--append", "x=f.txt", "--header", "x=a,b"], &["f.txt is a `lines` file", "write --append x=f.txt:csv"]),
        (&["--header", "x=a,b"], &["there is no --append x=FILE"]),
        (&["--timeout", "soon"], &["`soon` is no time", "60s, 250ms or 2h"]),
        (&["--max-memory", "lots"], &["`lots` is no size", "64MiB"]),
        (&["--max-record", "10 miles"], &["`10 miles` is no size", "64MiB"]),
        (&["--if-exists", "maybe"], &["'maybe'", "append, replace, refuse"]),
        (&["--dir", "nodir"], &["nodir is not a directory", "nothing was started"]),
        (&["--dir", "::/guest"], &["is no directory grant", "HOST[::GUEST]"]),
        (&["--dir", ".::/guest:readonly"], &["is no directory grant", ":read-only"]),
        (&["--append", "f=o.csv:json"], &["--append f=o.csv:json", "unknown format `json`, did you mean `jsonl`?"]),
        (&["--append", "f=o:frames"], &["did you mean `framed`?", "lines, csv, jsonl, framed"]),
        (&["--append", "x=f.jsonl", "--header", "x=a"], &["f.jsonl is a `jsonl` file", "write --append x=f.jsonl:csv"]),
        (&["--append", "f=f", "--durability", "sync"], &["'sync'", "buffered, written, synced"]),
        (&["--durability", "synced"], &["--durability: there is no append file", "add --append NAME=FILE"]),
        (&["--allow-remote"], &["--allow-remote: there is no append file"]),
        (&["--reserve", "1GiB"], &["--reserve: there is no append file"]),
        (&["--append", "f=f", "--reserve", "lots"], &["`lots` is no size", "64MiB"]),
        (&["--append", "f=f", "--max-file-bytes", "0"], &["a file of 0 bytes takes no record", "10GiB"]),
        (&["--append", "f=f", "--max-file-records", "0"], &["--max-file-records", "0 is not in 1"]),
        (&["--max-file-records", "5"], &["--max-file-records: there is no append file"]),
        (&["--max-append-bytes", "10 miles"], &["`10 miles` is no size", "64MiB"]),
        (&["--max-append-records", "some"], &["'some'", "--max-append-records"]),
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
    place.run(&["run", "job.toml", "--value", "x"]).assert_refused(&["`grants`"]);
    place.run(&["run", "job.toml", "--placement", "home"]).assert_refused(&["placement = \"spread\" in [[process]]"]);
    assert!(!place.exists("out"));
}
