//! What is in the append files afterwards, also when the disk was full, a run was cut off, or two runs wanted one file.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;

use crate::support::{Ended, Place, end, guest};

/// Records of `append_many` as large as this, with their newline.
const RECORD_BYTES: usize = 1_000;

/// Appends so many records to `f`, which is `path`.
fn append(place: &Place, path: &str, records: &str) -> Ended {
    let bytes = (RECORD_BYTES - 1).to_string();
    place.run(&["run", "--append", &format!("f={path}"), &guest("append_many"), "--", "f", records, &bytes])
}

/// The records of a file that holds whole ones only.
#[track_caller]
fn whole_records(path: &Path) -> usize {
    let bytes = fs::read(path).expect("the file is there");
    let record = [vec![b'a'; RECORD_BYTES - 1], vec![b'\n']].concat();
    assert_eq!(bytes.len() % RECORD_BYTES, 0, "the file ends on a whole record");
    assert!(bytes.chunks(RECORD_BYTES).all(|chunk| chunk == record), "every record is whole");
    bytes.len() / RECORD_BYTES
}

/// The system's limit on the size of a file would end a process that does not expect it.
#[test]
fn a_limit_on_the_size_of_files_is_an_error_for_the_guest_and_leaves_whole_records() {
    let place = Place::new();
    let mut command = place.command("sh");
    let many = guest("append_many");
    let run = "ulimit -f 64; exec \"$0\" run --append f=out.txt \"$1\" -- f 200 999";
    command.args(["-c", run]).arg(lockkeeper_tests::command()).arg(many);
    let ended = end(command, b"");
    ended.assert_code(1);
    assert_eq!(ended.out(), "error=io\n", "{ended}");
    ended.assert_says(&["file f: 1 appends failed", "out.txt", "File too large"]);
    // The shell counts in blocks of 512 or of 1024 bytes.
    let records = whole_records(&place.path("out.txt"));
    assert!([32, 65].contains(&records), "{records} records");

    append(&place, "out.txt", "3").assert_code(0);
    assert_eq!(whole_records(&place.path("out.txt")), records + 3);
}

/// A small file system of its own, for as long as this lives.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: PathBuf, bytes: &str) -> Result<Self, String> {
        fs::create_dir(&at).expect("a new directory");
        let mut mount = Command::new("mount");
        let answer = mount.args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "lockkeeper-test"]).arg(&at).output();
        match answer {
            Ok(answer) if answer.status.success() => Ok(Self(at)),
            Ok(answer) => Err(String::from_utf8_lossy(&answer.stderr).trim().to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(&self.0).status().is_ok_and(|status| status.success());
        if !unmounted && !std::thread::panicking() {
            panic!("{} is still mounted", self.0.display());
        }
    }
}

#[test]
fn a_full_disk_is_an_error_for_the_guest_and_a_run_after_space_returns_goes_on() {
    let place = Place::new();
    let disk = match SmallDisk::mount(place.path("disk"), "64k") {
        Ok(disk) => disk,
        Err(why) => return eprintln!("skipped: no small file system can be mounted here: {why}"),
    };
    let out = disk.0.join("out.txt");
    fs::write(disk.0.join("filler"), [0; 32 << 10]).expect("there is room");

    let full = append(&place, "disk/out.txt", "100");
    full.assert_code(1);
    assert_eq!(full.out(), "error=io\n", "{full}");
    let records = whole_records(&out);
    assert!((1..=32).contains(&records), "{records} records");
    let still_full = append(&place, "disk/out.txt", "100");
    // Not even what it has to remember of a file has room: better said at once than at the first record.
    still_full.assert_code(73).assert_says(&["file `f`: ", "No space left on device"]).assert_readable();
    assert_eq!(whole_records(&out), records);

    fs::remove_file(disk.0.join("filler")).expect("it was there");
    append(&place, "disk/out.txt", "20").assert_code(0);
    assert_eq!(whole_records(&out), records + 20);
}

#[test]
fn a_file_that_exists_is_appended_to_replaced_or_refused_as_asked() {
    let place = Place::new();
    let with = |policy: &[&str]| {
        let many = guest("append_many");
        place.run(&[&["run", "--append", "f=f.txt"], policy, &[&many, "--", "f", "2", "3"]].concat())
    };
    with(&["--if-exists", "refuse"]).assert_code(0);
    assert_eq!(place.read("f.txt"), "aaa\naaa\n");
    let refused = with(&["--if-exists", "refuse"]);
    refused.assert_code(73).assert_says(&["f.txt exists and holds 8 bytes", "another file"]).assert_readable();
    assert_eq!(place.read("f.txt"), "aaa\naaa\n");
    with(&[]).assert_code(0);
    assert_eq!(place.read("f.txt"), "aaa\n".repeat(4));
    with(&["--if-exists", "replace"]).assert_code(0);
    assert_eq!(place.read("f.txt"), "aaa\n".repeat(2));
}

#[test]
fn a_header_is_written_once_and_another_one_is_refused() {
    let place = Place::new();
    place.write("in.txt", "x\n");
    let count = guest("map_count");
    let map = |header: &str| {
        let header = format!("results={header}");
        place.run(&["map", &count, "--append", "results=out/new/r.csv", "--header", &header, "in.txt"])
    };
    map("input,line,bytes").assert_code(0);
    map("input,line,bytes").assert_code(0);
    let row = "/input/in.txt,1,1\n";
    assert_eq!(place.read("out/new/r.csv"), format!("input,line,bytes\n{row}{row}"));
    let refused = map("input,line,length");
    refused.assert_code(73).assert_says(&["the header of out/new/r.csv is", "\"length\""]).assert_readable();
    assert_eq!(place.read("out/new/r.csv"), format!("input,line,bytes\n{row}{row}"));
}

#[test]
fn a_torn_end_is_moved_aside_with_a_word_and_the_file_goes_on() {
    let place = Place::new();
    append(&place, "out.txt", "2").assert_code(0);
    let mut torn = fs::read(place.path("out.txt")).expect("the file is there");
    torn.extend(b"half a rec");
    place.write("out.txt", torn);

    let ended = append(&place, "out.txt", "1");
    ended
        .assert_code(0)
        .assert_says(&["file f: 10 torn bytes at its end were moved to out.txt.torn (from byte 2000 on: "]);
    assert_eq!(whole_records(&place.path("out.txt")), 3);
    let torn = place.read("out.txt.torn");
    assert!(
        torn.starts_with("lockkeeper-torn 1 offset 2000 length 10 reason ") && torn.ends_with("\nhalf a rec\n"),
        "{torn}"
    );
    assert_eq!(append(&place, "out.txt", "1").err(), "", "it is told once");
}

/// A file that somebody else made might just lack its last newline. Cutting it would be a loss.
#[test]
fn an_unended_line_of_a_foreign_file_is_refused_and_kept() {
    let place = Place::new();
    place.write("notes.txt", "one\ntwo");
    let ended = append(&place, "notes.txt", "1");
    ended.assert_code(73).assert_says(&["was not written by lockkeeper", "end it with a newline"]).assert_readable();
    assert_eq!(place.read("notes.txt"), "one\ntwo");
}

#[test]
fn a_second_run_on_a_file_in_use_ends_with_75_and_names_who_has_it() {
    let place = Place::new();
    let spinner = guest("lock_end");
    let mut first = place.start(&["run", "--lock", "a", "--append", "f=f.txt", &spinner, "--", "a", "f", "spin"]);
    first.out.wait_for("holding");

    let second = append(&place, "f.txt", "1");
    let who = format!("is being written by process {} (lockkeeper run --lock a --append f=f.txt", first.pid());
    second.assert_code(75).assert_says(&["f.txt", &who, "another file"]).assert_readable();
    assert_eq!(place.read("f.txt"), "held\n", "readers are not in the way of anybody");

    first.signal(Signal::INT);
    assert_eq!(first.wait(), 130);
    append(&place, "f.txt", "1").assert_code(0);
}

#[test]
fn two_runs_that_share_a_file_write_it_at_the_same_time_and_a_third_that_does_not_is_refused() {
    let place = Place::new();
    let (spinner, many) = (guest("lock_end"), guest("append_many"));
    let shared = ["run", "--shared", "--append", "f=f.txt"];
    let mut first = place.start(&[&shared[..], &["--lock", "a", &spinner, "--", "a", "f", "spin"]].concat());
    first.out.wait_for("holding");

    append(&place, "f.txt", "1").assert_code(75).assert_says(&["f.txt is shared", "`shared = true`"]).assert_readable();
    let bytes = (RECORD_BYTES - 1).to_string();
    let appending = [&shared[..], &[many.as_str(), "--", "f", "3000", &bytes]].concat();
    let mut others = [place.start(&appending), place.start(&appending)];
    // A check waits for its turn, as they do.
    place.run(&["file", "check", "f.txt"]).assert_code(0);
    for other in &mut others {
        assert_eq!(other.wait(), 0);
    }
    first.signal(Signal::INT);
    assert_eq!(first.wait(), 130);
    let text = place.read("f.txt");
    place.write("f.txt", text.strip_prefix("held\n").expect("the first record is that of the first run"));
    assert_eq!(whole_records(&place.path("f.txt")), 6_000);
}

/// Records under a lock that other hosts do not know of would be refused to nobody there.
#[test]
fn a_shared_file_is_bound_to_a_lock_of_the_machine_or_to_none() {
    let place = Place::new();
    let job = |lock: &str, file: &str| {
        format!(
            "version = 1\n[lock.l]\n{lock}[file.f]\npath = \"f.txt\"\nshared = true\n{file}[[process]]\nname = \"p\"\n\
             program = {:?}\nargs = [\"l\", \"f\", \"5\", \"1\"]\ngrants = {{ lock = [\"l\"], file = [\"f\"] }}\n",
            guest("lock_append")
        )
    };
    let bound = "requires-lock = \"l\"\n";
    place
        .run_manifest(&job("", bound))
        .assert_says(&["file `f` is shared", "lock `l`", "scope = \"machine\""])
        .assert_readable();
    assert!(!place.exists("f.txt"));
    place.run_manifest(&job("scope = \"machine\"\n", bound)).assert_code(0);
    place.run_manifest(&job("scope = \"machine\"\n", bound)).assert_code(0);
    let program = guest("map_count");
    let map = ["map", "--shared", "--append", "g=g.txt", &program, "x"];
    place.run(&map).assert_says(&["--shared goes with run"]).assert_readable();
}

#[test]
fn what_is_no_regular_file_is_refused_for_what_it_is() {
    let place = Place::new();
    fs::create_dir(place.path("dir")).expect("a new directory");
    place.write("file", "");
    std::os::unix::fs::symlink("file", place.path("link")).expect("a new link");
    append(&place, "dir", "1").assert_code(73).assert_says(&["dir is a directory, not a regular file"]);
    append(&place, "link", "1").assert_code(73).assert_says(&["link is a symbolic link"]);
    append(&place, "file/below", "1").assert_code(73).assert_says(&["Not a directory"]).assert_readable();
    assert_eq!(place.read("file"), "");
}

#[test]
fn a_second_file_that_cannot_be_opened_costs_the_first_no_results() {
    let place = Place::new();
    place.write("keep.txt", "old\n");
    std::fs::create_dir(place.path("dir")).expect("a directory");
    let many = guest("append_many");
    let files = ["--append", "keep=keep.txt", "--append", "dir=dir", "--if-exists", "replace"];
    let ended = place.run(&[&["run", &many][..], &files, &["--", "keep", "1", "3"]].concat());
    ended.assert_code(73);
    assert_eq!(place.read("keep.txt"), "old\n", "{ended}");
}

/// Does these steps with the file `f`, which the flags make.
fn steps(place: &Place, flags: &[&str], steps: &[&str]) -> Ended {
    let program = guest("append_steps");
    place.run(&[&["run"][..], flags, &[&program, "--", "-", "f"], steps].concat())
}

#[test]
fn a_format_is_what_the_flag_or_the_ending_says() {
    for (file, record, contents) in [
        ("f=out.jsonl", "append:{\"a\": 1}", "{\"a\": 1}\n"),
        ("f=out.ndjson", "append:[1]", "[1]\n"),
        ("f=out.csv", "row:a b,\"c\"", "a b,\"\"\"c\"\"\"\n"),
        ("f=out.csv:lines", "append:a,\"b", "a,\"b\n"),
        ("f=out.txt:jsonl", "append:null", "null\n"),
    ] {
        let place = Place::new();
        let ended = steps(&place, &["--append", file], &[record]);
        assert!(ended.assert_code(0).out().starts_with("written at=0 length="), "{file}: {ended}");
        let path = file.trim_start_matches("f=").split(':').next().unwrap_or_default();
        assert_eq!(place.read(path), contents, "{file}");
    }
    for file in ["f=out.lkf", "f=out.txt:framed"] {
        let place = Place::new();
        let ended = steps(&place, &["--append", file], &["append:\\0"]);
        assert_eq!(ended.out(), "written at=0 length=49 sequence=1\n", "{file}: {ended}");
    }
    let place = Place::new();
    let ended = steps(&place, &["--append", "f=out.jsonl"], &["append:no json"]);
    assert!(ended.out().starts_with("invalid-argument: it is not one JSON value"), "{ended}");
}

#[test]
fn the_durability_of_the_flag_or_the_manifest_is_that_of_every_record() {
    for word in ["buffered", "written", "synced"] {
        let place = Place::new();
        let ended = steps(&place, &["--append", "f=out.txt", "--durability", word], &["append:one"]);
        assert_eq!(ended.assert_code(0).out(), format!("{word} at=0 length=4 sequence=1\n"), "{ended}");
        let manifest = format!(
            "version = 1\n[file.f]\npath = \"m.txt\"\ndurability = \"{word}\"\nids = true\ngroup-window = \"1ms\"\n\
             [[process]]\nname = \"p\"\nprogram = {:?}\ngrants = {{ file = [\"f\"] }}\n\
             args = [\"-\", \"f\", \"append:one\", \"append+id=a:two\", \"append+id=a:two\"]\n",
            guest("append_steps")
        );
        let ended = place.run_manifest(&manifest);
        let told: Vec<&str> = ended.assert_code(0).out().lines().collect();
        assert_eq!(told[0], format!("{word} at=0 length=4 sequence=1"), "{ended}");
        assert!(told[2].ends_with(" at=4 length=4 sequence=0 repeated"), "{ended}");
        assert_eq!((place.read("out.txt"), place.read("m.txt")), ("one\n".to_owned(), "one\ntwo\n".to_owned()));
    }
}

#[test]
fn quotas_are_refused_by_name_and_the_summary_says_which_and_how_to_change_it() {
    let place = Place::new();
    let ended = steps(&place, &["--append", "f=a", "--max-file-bytes", "10B"], &["long:9", "append:x"]);
    assert_eq!(ended.out(), "written at=0 length=10 sequence=1\nlimit(file-bytes)\n", "{ended}");
    ended.assert_says(&["file f: 1 appends failed", "`max-bytes`"]);
    let ended = steps(&place, &["--append", "f=b", "--max-file-records", "1"], &["append:x", "append:y", "append:z"]);
    assert!(ended.out().ends_with("sequence=1\nlimit(file-records)\nlimit(file-records)\n"), "{ended}");
    ended.assert_says(&["file f: 2 appends failed", "`max-records`"]);
    // What is in the file already counts.
    let ended = steps(&place, &["--append", "f=b", "--max-file-records", "1"], &["append:x"]);
    assert_eq!(ended.out(), "limit(file-records)\n", "{ended}");
    let ended = steps(&place, &["--append", "f=c", "--max-append-bytes", "2B"], &["append:x", "append:y"]);
    assert!(ended.out().ends_with("sequence=1\nlimit(file-bytes)\n"), "{ended}");
    ended.assert_says(&["a process may append 2 B (`append-bytes`, --max-append-bytes)"]);
    let ended = steps(&place, &["--append", "f=d", "--max-append-records", "1"], &["append:x", "append:y"]);
    ended.assert_says(&["a process may append 1 records (`append-records`, --max-append-records)"]);
    let ended = steps(&place, &["--append", "f=e", "--reserve", "8000000000GiB"], &["append:x"]);
    assert_eq!(ended.out(), "io(no-space)\n", "{ended}");
    ended.assert_says(&["`reserve`"]);
    assert_eq!(place.read("e"), "");
}
