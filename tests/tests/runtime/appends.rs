//! Append files through guests: what a record survives, what it is called, how much there may be, and what is no record.

use std::fs::File;

use lockkeeper::observe::{Event, Outcome};
use lockkeeper::{
    AppendSpec, Commit, Durability, Format, FormatKind, FrameInfo, Job, Limits, Placement, ProcessSpec, Reader,
    RecordId,
};
use lockkeeper_tests::{TestHost, join, log_of, spec};

/// Runs the steps in a process of the job, with all its locks and files `file` and `other`, and answers what each came to.
fn steps(host: &TestHost, job: &Job, lock: &str, steps: &[&str]) -> Vec<String> {
    steps_of(host, job, lock, steps, |_| {}).0
}

fn steps_of(
    host: &TestHost,
    job: &Job,
    lock: &str,
    steps: &[&str],
    change: impl FnOnce(&mut ProcessSpec),
) -> (Vec<String>, u64) {
    let program = host.program("append_steps");
    let locks: Vec<&str> = if lock == "-" { vec![] } else { vec![lock] };
    let mut spec = spec(&program, &[&[lock, "file"], steps].concat(), &locks, &["file"]);
    change(&mut spec);
    let (process, lines) = host.spawn_spec(job, &program, spec);
    assert_eq!(join(&process).outcome, Outcome::Returned, "{:?}", lines.all());
    (lines.all(), process.id().get())
}

fn csv() -> Format {
    Format::Csv { header: vec!["a".to_owned(), "b".to_owned()] }
}

#[test]
fn a_record_survives_what_it_asked_for_and_a_sync_covers_those_before_it() {
    let host = TestHost::new();
    let job = host.job_with_files(&[], vec![host.lines_file("file", None)]);
    let told = steps(
        &host,
        &job,
        "-",
        &[
            "append:one",
            "append+buffered:two",
            "append+written:three",
            "append+synced:four",
            "position",
            "append+buffered:five",
            "batch+synced:six,seven",
            "append+buffered:eight",
            "position",
            "sync",
        ],
    );
    assert_eq!(
        told,
        [
            "written at=0 length=4 sequence=1",
            "buffered at=4 length=4 sequence=2",
            "written at=8 length=6 sequence=3",
            "synced at=14 length=5 sequence=4",
            "bytes=19 synced=19 records=4",
            "buffered at=19 length=5 sequence=5",
            "synced at=24 length=10 sequence=6",
            "buffered at=34 length=6 sequence=8",
            "bytes=40 synced=34 records=8",
            "bytes=40 synced=40 records=8",
        ]
    );
    assert_eq!(log_of(&host.path("file")), b"one\ntwo\nthree\nfour\nfive\nsix\nseven\neight\n");
}

#[test]
fn what_the_job_says_for_a_file_holds_where_the_record_says_nothing() {
    let host = TestHost::new();
    for (durability, word) in
        [(Durability::Buffered, "buffered"), (Durability::Written, "written"), (Durability::Synced, "synced")]
    {
        let file = AppendSpec { name: "file".to_owned(), durability, ..host.lines_file(word, None) };
        let job = host.job_with_files(&[], vec![file]);
        let told = steps(&host, &job, "-", &["append:one", "append+written:two"]);
        assert_eq!(told, [format!("{word} at=0 length=4 sequence=1"), "written at=4 length=4 sequence=2".to_owned()]);
        drop(job);
        assert_eq!(log_of(&host.path(word)), b"one\ntwo\n", "{word}");
    }
}

/// What is buffered when its process ends is in the file when the job is over.
#[test]
fn a_buffered_record_is_in_the_file_once_the_job_has_ended() {
    let host = TestHost::new();
    let job = host.job_with_files(&[], vec![host.lines_file("file", None)]);
    assert_eq!(steps(&host, &job, "-", &["append+buffered:one"]), ["buffered at=0 length=4 sequence=1"]);
    drop(job);
    assert_eq!(log_of(&host.path("file")), b"one\n");
}

/// Who waits for the disk does not stand still, and neither holds up its core nor the others' records.
#[test]
fn many_processes_on_one_core_wait_for_the_disk_at_once_and_are_no_stall() {
    let host = TestHost::with_shards(1);
    let file = AppendSpec { durability: Durability::Synced, ..host.lines_file("file", None) };
    let job = host.job_with_files(&[], vec![file]);
    let program = host.program("lock_append");
    let processes: Vec<_> = (0..16)
        .map(|rank| {
            let spec = spec(&program, &["-", "file", "10", "7"], &[], &["file"]);
            host.spawn_spec(&job, &program, ProcessSpec { rank, count: 16, placement: Placement::Spread, ..spec })
        })
        .collect();
    for (process, lines) in processes {
        assert_eq!(join(&process).outcome, Outcome::Returned, "{:?}", lines.all());
    }
    let position = job.position("file").expect("the file");
    assert_eq!((position.records, position.synced_bytes), (160, position.bytes));
    lockkeeper_guest_programs::check(&log_of(&host.path("file")), 7, 16, 10).expect("every record, once and whole");
    assert!(!host.events().iter().any(|event| matches!(event, Event::Stalled { .. })));
}

#[test]
fn a_record_of_an_id_is_written_once_also_when_the_host_was_restarted() {
    let host = TestHost::new();
    let with_ids = |host: &TestHost| {
        let mut file = host.lines_file("file", None);
        file.file.ids = true;
        host.job_with_files(&[], vec![file])
    };
    let job = with_ids(&host);
    let told = steps(
        &host,
        &job,
        "-",
        &["append+id=a:one", "append+id=a:another", "batch+id=b:two,three", "append:four", "append+id=@256:five"],
    );
    assert_eq!(
        told,
        [
            "written at=0 length=4 sequence=1",
            "written at=0 length=4 sequence=0 repeated",
            "written at=4 length=10 sequence=2",
            "written at=14 length=5 sequence=4",
            "written at=19 length=5 sequence=5",
        ]
    );
    drop(job);
    let host = host.restarted();
    let job = with_ids(&host);
    let told = steps(
        &host,
        &job,
        "-",
        &["append+synced+id=a:one", "batch+id=b:two,three", "append+buffered+id=c:six", "append:four"],
    );
    assert_eq!(
        told,
        [
            "synced at=0 length=4 sequence=0 repeated",
            "written at=4 length=10 sequence=0 repeated",
            // What is known by an id is not left in memory.
            "written at=24 length=4 sequence=1",
            "written at=28 length=5 sequence=2",
        ]
    );
    drop(job);
    assert_eq!(log_of(&host.path("file")), b"one\ntwo\nthree\nfour\nfive\nsix\nfour\n");
}

#[test]
fn an_id_of_the_wrong_length_or_where_there_are_none_is_refused() {
    let host = TestHost::new();
    let mut with_ids = AppendSpec { name: "file".to_owned(), ..host.lines_file("with", None) };
    with_ids.file.ids = true;
    let job = host.job_with_files(&[], vec![with_ids]);
    let wrong = ["append+id=:x", "append+id=@257:x"];
    assert_eq!(
        steps(&host, &job, "-", &wrong),
        [
            "invalid-argument: id: it has 0 bytes; give it 1 to 256",
            "invalid-argument: id: it has 257 bytes; give it 1 to 256",
        ]
    );
    let (told, _) = steps_of(&host, &job, "-", &["append+id=a:x", "append:y"], |spec| spec.commit = Commit::AtEnd);
    assert!(told[0].starts_with("invalid-argument: id: what is held back"), "{told:?}");
    assert_eq!(told[1], "buffered at=0 length=2 sequence=1", "held back is in memory");
    assert_eq!(log_of(&host.path("with")), b"y\n");

    let without = AppendSpec { name: "file".to_owned(), ..host.lines_file("without", None) };
    let job = host.job_with_files(&[], vec![without]);
    let told = steps(&host, &job, "-", &["append+id=a:x"]);
    assert_eq!(told, ["invalid-argument: id: the records of `file` have none; write ids = true in [file.file]"]);
    assert_eq!(log_of(&host.path("without")), b"");
}

/// What is held back is in no file yet, so nothing else can be done about the wish. It was forgotten once: a process that had
/// asked for a sync ended well, and the loss of power would have taken its records.
#[test]
fn what_is_held_back_is_synced_at_the_end_if_the_process_asked_for_that() {
    for (asks, synced) in [(&["append:a"][..], 0), (&["append+synced:a"], 2), (&["append:a", "sync"], 2)] {
        let host = TestHost::new();
        let job = host.job_with_files(&[], vec![host.lines_file("file", None)]);
        let (told, _) = steps_of(&host, &job, "-", asks, |spec| spec.commit = Commit::AtEnd);
        assert_eq!(told[0], "buffered at=0 length=2 sequence=1");
        let position = job.position("file").expect("the file");
        assert_eq!((position.bytes, position.synced_bytes), (2, synced), "{asks:?}");
    }
}

/// A guest could once begin a new series in a file by the id that it gave a record: the next run would have done all again.
#[test]
fn no_id_of_a_guest_is_one_of_the_hosts_own() {
    let host = TestHost::new();
    let mut file = host.lines_file("file", None);
    file.file.ids = true;
    let job = host.job_with_files(&[], vec![file]);
    let told = steps(&host, &job, "-", &["append+id=a:x", "append+id=lockkeeper; a new series is being begun:x"]);
    assert!(told.iter().all(|word| word.starts_with("written")), "{told:?}");
    assert!(!job.has_committed(RecordId::of(b"lockkeeper: a new series is being begun")));
    job.resume_series().expect("there is nothing to begin anew");
    assert!(steps(&host, &job, "-", &["append+id=a:x"])[0].ends_with("repeated"));
}

#[test]
fn a_quota_of_a_file_refuses_what_goes_above_it_and_a_smaller_record_fits() {
    let host = TestHost::new();
    let mut file = host.lines_file("file", None);
    (file.file.bytes_max, file.file.records_max) = (Some(20), Some(4));
    let job = host.job_with_files(&[], vec![file]);
    let told = steps(
        &host,
        &job,
        "-",
        &[
            "long:9",
            "long:10",
            "batch:a,b,long enough",
            "append+buffered:b",
            "long:8",
            "append:",
            "append:",
            "position",
        ],
    );
    assert_eq!(
        told,
        [
            "written at=0 length=10 sequence=1",
            "limit(file-bytes)",
            "limit(file-bytes)",
            "buffered at=10 length=2 sequence=2",
            "limit(file-bytes)",
            "written at=12 length=1 sequence=3",
            "written at=13 length=1 sequence=4",
            "bytes=14 synced=0 records=4",
        ]
    );
    assert_eq!(steps(&host, &job, "-", &["append:"]), ["limit(file-records)"]);
    assert_eq!(log_of(&host.path("file")), b"xxxxxxxxx\nb\n\n\n");
    let failed = failures(&host);
    assert_eq!(failed.len(), 4);
    assert!(failed[0].contains("(`max-bytes`) is 20") && failed[3].contains("(`max-records`) is 4"), "{failed:?}");
}

fn failures(host: &TestHost) -> Vec<String> {
    let failed = |event: Event| match event {
        Event::AppendFailed { error, .. } => Some(error),
        _ => None,
    };
    host.events().into_iter().filter_map(failed).collect()
}

/// Each process has its own, over all its files; what was refused or was there already costs nothing.
#[test]
fn a_quota_of_a_process_counts_what_was_acknowledged_to_it_alone() {
    let host = TestHost::new();
    let mut file = host.lines_file("file", None);
    file.file.ids = true;
    let job = host.job_with_files(&[], vec![file]);
    let bytes = |spec: &mut ProcessSpec| spec.limits = Limits { append_bytes_max: Some(10), ..Limits::default() };
    let told =
        ["append:one", "long:9", "append+id=a:two", "append+id=a:two", "append:three", "append:x", "append+id=a:"];
    for (repeated, last) in [(false, "written at=8 length=2"), (true, "written at=10 length=6")] {
        let (told, _) = steps_of(&host, &job, "-", &told, bytes);
        let limits: Vec<usize> = (0..told.len()).filter(|step| told[*step] == "limit(file-bytes)").collect();
        let words: Vec<bool> = told.iter().map(|word| word.ends_with("repeated")).collect();
        if repeated {
            // `two` is there already, so `three` fits and `x` does not.
            assert_eq!((limits, words), (vec![1, 5], vec![false, false, true, true, false, false, true]), "{told:?}");
            assert!(told[4].starts_with("written at=14 length=6"), "{told:?}");
        } else {
            assert_eq!((limits, words), (vec![1, 4], vec![false, false, false, true, false, false, true]), "{told:?}");
            assert!(told[5].starts_with(last), "{told:?}");
        }
    }
    let records = |spec: &mut ProcessSpec| spec.limits = Limits { append_records_max: Some(3), ..Limits::default() };
    let (told, _) = steps_of(&host, &job, "-", &["append:a", "batch:b,c,d", "batch:b,c", "append:e"], records);
    assert_eq!([&told[1], &told[3]], ["limit(file-records)", "limit(file-records)"], "{told:?}");
    assert!(told[2].starts_with("written"), "{told:?}");
    let failed = failures(&host);
    assert!(failed[0].contains("a process may append 10 B (`append-bytes`, --max-append-bytes)"), "{failed:?}");
    assert!(failed.last().expect("some").contains("3 records (`append-records`, --max-append-records)"), "{failed:?}");
    // What is held back counts too.
    let (told, _) = steps_of(&host, &job, "-", &["append:a", "append:b", "append:c", "append:d"], |spec| {
        records(spec);
        spec.commit = Commit::AtEnd;
    });
    assert_eq!(told[3], "limit(file-records)", "{told:?}");
}

#[test]
fn what_is_no_record_of_its_format_is_refused_with_the_place_and_the_reason() {
    let host = TestHost::new();
    let refused = |name: &str, format: Format, tries: &[(&str, &str)], good: &str| {
        let file = AppendSpec { name: "file".to_owned(), ..host.file(name, format, None) };
        let job = host.job_with_files(&[], vec![file]);
        let before = log_of(&host.path(name));
        for (step, why) in tries {
            let told = steps(&host, &job, "-", &[step]);
            assert!(told[0].starts_with("invalid-argument: ") && told[0].contains(why), "{name} {step}: {told:?}");
        }
        assert_eq!(log_of(&host.path(name)), before, "{name}");
        assert!(steps(&host, &job, "-", &[good])[0].starts_with("written"), "{name}");
    };
    let json = [
        ("append:{\"a\":", "not one JSON value"),
        ("append:1 2", "not one JSON value"),
        ("append:", "not one JSON value"),
        ("append:'a'", "not one JSON value"),
        ("append:[1,\\n2]", "a line break at byte 3"),
        ("append:{}\\r", "a line break at byte 2"),
        ("append:\"\\0\"", "not one JSON value"),
        ("batch:1,2,x", "not one JSON value"),
        ("row:1,2", "no rows"),
    ];
    refused("j", Format::Jsonl, &json, "append:{\"a\": [1, null]}");
    let lines =
        [("append:a\\0b", "byte 1 is zero"), ("append:a\\nb", "a line break at byte 1"), ("row:a,b", "no rows")];
    refused("l", Format::Lines, &lines, "append:a");
    let rows = [("append:a,\\0", "is zero"), ("row:a,\\0b,c", "columns"), ("append:a", "columns")];
    refused("c", csv(), &rows, "row:a,b");
    refused("f", Format::Framed, &[("row:a,b", "no rows")], "append:a\\n\\0\\r");
}

#[test]
fn frames_hold_any_bytes_and_say_under_which_fence_and_by_whom() {
    let host = TestHost::new();
    let job = host.job_with_files(&["a"], vec![host.file("file", Format::Framed, Some("a"))]);
    let words = ["acquire", "append:a\\n\\0LKF1\\r", "append+buffered:", "batch+synced:one,two"];
    let (first, one) = steps_of(&host, &job, "a", &words, |_| {});
    let (second, two) = steps_of(&host, &job, "a", &["acquire", "append:three"], |_| {});
    drop(job);
    assert_eq!(
        first[1..],
        [
            "written at=0 length=56 sequence=1".to_owned(),
            "buffered at=56 length=48 sequence=2".to_owned(),
            "synced at=104 length=102 sequence=3".to_owned(),
        ]
    );
    let fence = |told: &[String]| told[0].strip_prefix("fence ").expect("a fence").parse().expect("a number");
    let (earlier, later): (u64, u64) = (fence(&first), fence(&second));
    assert!(earlier < later);

    let mut reader = Reader::new(FormatKind::Framed, File::open(host.path("file")).expect("the file"));
    let mut read = Vec::new();
    while let Some(record) = reader.next_record().expect("the file can be read") {
        read.push((record.bytes.to_vec(), record.frame.expect("a frame")));
    }
    assert_eq!(reader.tail(), None);
    let of = |bytes: &[u8], sequence, fence, writer| (bytes.to_vec(), FrameInfo { sequence, fence, writer });
    assert_eq!(
        read,
        [
            of(b"a\n\0LKF1\r", 1, earlier, one),
            of(b"", 2, earlier, one),
            of(b"one", 3, earlier, one),
            of(b"two", 4, earlier, one),
            of(b"three", 5, later, two),
        ]
    );
}

/// The file remembers the fences too, so a host that has lost its own memory of them gives out none that was used before.
#[test]
fn a_host_that_forgot_its_fences_goes_on_above_those_that_the_file_knows() {
    for (format, record, kept, record_bytes) in [
        (Format::Lines, "append:one", "one\n", 4),
        (csv(), "row:one,1", "a,b\none,1\n", 6),
        (Format::Jsonl, "append:1", "1\n", 2),
    ] {
        let host = TestHost::new();
        let open = |host: &TestHost| host.job_with_files(&["a"], vec![host.file("file", format.clone(), Some("a"))]);
        let job = open(&host);
        let told = steps(&host, &job, "a", &["acquire", record]);
        assert_eq!((told[0].as_str(), told[1].starts_with("written")), ("fence 1", true), "{told:?}");
        drop(job);

        // With its memory it goes on.
        let host = host.restarted();
        let job = open(&host);
        let told = steps(&host, &job, "a", &["acquire", "position"]);
        assert_ne!(told[0], "fence 1");
        drop(job);

        let host = host.restarted();
        std::fs::remove_dir_all(host.path("state")).expect("the memory of fences");
        let job = open(&host);
        let told = steps(&host, &job, "a", &["acquire", record, "release"]);
        let fence: u64 = told[0].strip_prefix("fence ").and_then(|fence| fence.parse().ok()).expect("a fence");
        assert!(fence > 1 && told[1].starts_with("written"), "{format:?}: {told:?}");
        assert_eq!(log_of(&host.path("file")).len(), kept.len() + record_bytes, "{format:?}");
    }
}
