//! Links, and ways out of what was granted: there is none. 32 ELOOP, 44 ENOENT, 63 EPERM.

use crate::case::{Kind, case};

#[test]
pub(crate) fn hard_link_is_the_same_file() {
    case("hard_link_is_the_same_file").dir().prints("\"2\"\n");
}

#[test]
pub(crate) fn link_is_followed_and_can_be_read() {
    case("link_is_followed_and_can_be_read").dir().prints("behind the link\nfile\ntrue true\n");
}

#[test]
pub(crate) fn link_to_nothing_is_not_found() {
    case("link_to_nothing_is_not_found").dir().prints("read: NotFound 44\nlook: ok\n");
}

#[test]
pub(crate) fn circle_of_links_is_refused() {
    case("circle_of_links_is_refused").dir().prints("read: FilesystemLoop 32\n");
}

#[test]
pub(crate) fn link_that_leads_out_is_refused() {
    case("link_that_leads_out_is_refused").dir().prints("read: PermissionDenied 63\n");
}

/// Neither made by the program, nor followed where somebody else has made it.
#[test]
pub(crate) fn absolute_link_is_refused() {
    let case = case("absolute_link_is_refused").flags(&["--dir", "planted::/d"]);
    for kind in [Kind::Component, Kind::Module] {
        let place = crate::support::Place::new();
        std::fs::create_dir(place.path("planted")).expect("a new directory");
        std::os::unix::fs::symlink("/etc/hostname", place.path("planted/planted")).expect("a link");
        let ended = case.run_in(&place, kind);
        let out = "make: PermissionDenied 63\nread: PermissionDenied 63\n";
        assert_eq!((ended.code, ended.out(), ended.err()), (0, out, ""), "{kind:?}:\n{ended}");
    }
}

#[test]
pub(crate) fn path_that_leads_out_is_refused() {
    case("path_that_leads_out_is_refused").dir().prints(
        "/d/../secret: PermissionDenied 63\n/d/./../secret: PermissionDenied 63\n/etc/hostname: NotFound 44\nsecret: NotFound 44\n",
    );
}

#[test]
pub(crate) fn without_a_directory_there_is_no_file() {
    case("without_a_directory_there_is_no_file")
        .file("d/file", "x")
        .prints("read: NotFound 44\nwrite: NotFound 44\nlist: NotFound 44\n");
}

#[test]
pub(crate) fn two_directories_are_apart_and_files_move_between_them() {
    case("two_directories_are_apart_and_files_move_between_them")
        .dir()
        .flags(&["--dir", "e::/e"])
        .prints("elsewhere: NotFound 44\nleft: NotFound 44\nmoved\n");
}
