//! Files in a directory that was granted. The numbers are those of the C library: 8 EBADF, 20 EEXIST, 28 EINVAL, 29 EIO,
//! 44 ENOENT, 63 EPERM.

use crate::case::case;

#[test]
pub(crate) fn file_that_was_written_can_be_read() {
    case("file_that_was_written_can_be_read").dir().prints("written\n");
}

#[test]
pub(crate) fn missing_file_is_not_found() {
    case("missing_file_is_not_found").dir().prints("read: NotFound 44\nbelow: NotFound 44\n");
}

#[test]
pub(crate) fn appending_writes_at_the_end() {
    case("appending_writes_at_the_end").dir().file("d/log", "zero\n").prints("zero\none\ntwo\n");
}

#[test]
pub(crate) fn creating_anew_refuses_what_is_there() {
    case("creating_anew_refuses_what_is_there").dir().prints("first: ok\nsecond: AlreadyExists 20\n");
}

#[test]
pub(crate) fn truncating_empties() {
    case("truncating_empties").dir().prints("\"x\"\n");
}

#[test]
pub(crate) fn length_can_be_set() {
    case("length_can_be_set").dir().prints("\"lo\"\n\"lo\\0\\0\"\n");
}

#[test]
pub(crate) fn seeking_moves_the_next_read_and_write() {
    case("seeking_moves_the_next_read_and_write").dir().prints("4 \"45\"\n7 \"78\"\n7 \"78\"\n\"0ab3456789\\0\\0z\"\n");
}

/// A component's C library keeps the place itself, and checks only what it computes from the end.
#[test]
pub(crate) fn seeking_before_the_start_is_refused() {
    let end = "end: InvalidInput 28\n";
    case("seeking_before_the_start_is_refused")
        .dir()
        .differ((0, &format!("{end}current: ok\n")), (0, &format!("{end}current: InvalidInput 28\n")));
}

#[test]
pub(crate) fn metadata_tells_length_and_kind() {
    case("metadata_tells_length_and_kind")
        .dir()
        .prints("/d/file: file true, directory false, 10 bytes\n/d: file false, directory true, 0 bytes\nnew: true\n");
}

#[test]
pub(crate) fn file_can_be_copied() {
    case("file_can_be_copied").dir().prints("7\ncopied\n");
}

#[test]
pub(crate) fn file_can_be_renamed() {
    case("file_can_be_renamed").dir().prints("from: NotFound 44\nrenamed\n");
}

#[test]
pub(crate) fn renaming_replaces_what_is_there() {
    case("renaming_replaces_what_is_there").dir().prints("new\n");
}

#[test]
pub(crate) fn file_can_be_removed() {
    case("file_can_be_removed").dir().prints("first: ok\nsecond: NotFound 44\n");
}

#[test]
pub(crate) fn syncing_succeeds() {
    case("syncing_succeeds").dir().prints("all: ok\ndata: ok\n");
}

/// 19 is EDQUOT: WASI 0.2 has no word for EMFILE.
#[test]
pub(crate) fn open_files_have_a_limit_and_closing_makes_room() {
    case("open_files_have_a_limit_and_closing_makes_room")
        .dir()
        .flags(&["--max-open-files", "3"])
        .prints("3 files, then QuotaExceeded 19\none more: ok\n");
}

/// A stream of WASI 0.2 has no number of its own for it.
#[test]
pub(crate) fn reading_what_was_opened_for_writing_is_refused() {
    case("reading_what_was_opened_for_writing_is_refused").dir().differ(
        (0, "read: Uncategorized 29\nwrite: Uncategorized 29\n"),
        (0, "read: Uncategorized 8\nwrite: Uncategorized 8\n"),
    );
}

#[test]
pub(crate) fn read_only_directory_refuses_every_change() {
    let refused = ["write", "create", "remove", "rename", "make", "link"]
        .map(|what| format!("{what}: PermissionDenied 63\n"))
        .concat();
    case("read_only_directory_refuses_every_change")
        .flags(&["--dir", "d::/d:read-only"])
        .file("d/file", "content")
        .prints(&format!("\"content\"\n{refused}"));
}
