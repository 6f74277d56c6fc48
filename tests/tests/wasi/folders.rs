//! Directories. 8 EBADF, 20 EEXIST, 31 EISDIR, 44 ENOENT, 54 ENOTDIR, 55 ENOTEMPTY.

use crate::case::case;

#[test]
pub(crate) fn directory_can_be_made_and_removed() {
    case("directory_can_be_made_and_removed").dir().prints("make: ok\ntrue\nremove: ok\nlook: NotFound 44\n");
}

#[test]
pub(crate) fn making_a_directory_twice_is_refused() {
    case("making_a_directory_twice_is_refused").dir().prints("first: ok\nsecond: AlreadyExists 20\n");
}

#[test]
pub(crate) fn removing_a_full_directory_is_refused() {
    case("removing_a_full_directory_is_refused").dir().prints("remove: Uncategorized 55\n");
}

#[test]
pub(crate) fn removing_a_directory_as_a_file_is_refused() {
    case("removing_a_directory_as_a_file_is_refused")
        .dir()
        .prints("directory: IsADirectory 31\nfile: NotADirectory 54\n");
}

#[test]
pub(crate) fn directory_is_listed_with_kinds() {
    case("directory_is_listed_with_kinds").dir().prints("[(\"dir\", true), (\"file\", false), (\"ünï\", false)]\n");
}

#[test]
pub(crate) fn directories_can_be_nested_and_removed_with_all() {
    case("directories_can_be_nested_and_removed_with_all").dir().prints("deep\nlook: NotFound 44\n");
}

#[test]
pub(crate) fn directory_can_be_renamed() {
    case("directory_can_be_renamed").dir().prints("moved\n");
}

/// WASI 0.1 knows only that it is no file that can be read.
#[test]
pub(crate) fn directory_is_no_file() {
    let write = "write: IsADirectory 31\n";
    case("directory_is_no_file")
        .dir()
        .differ((0, &format!("{write}read: IsADirectory 31\n")), (0, &format!("{write}read: Uncategorized 8\n")));
}

#[test]
pub(crate) fn file_is_no_directory() {
    case("file_is_no_directory").dir().prints("below: NotADirectory 54\nlist: NotADirectory 54\n");
}
