//! Links, and paths that lead out of what was granted.

use std::fs;
use std::io::Result;

use super::{Done, say};

#[expect(deprecated, reason = "the one way to make a link that is stable on WASI")]
fn link(to: &str, at: &str) -> Result<()> {
    fs::soft_link(to, at)
}

pub(crate) fn hard_link_is_the_same_file() -> Done {
    fs::write("/d/one", "1")?;
    fs::hard_link("/d/one", "/d/two")?;
    fs::write("/d/two", "2")?;
    println!("{:?}", fs::read_to_string("/d/one")?);
    Ok(())
}

pub(crate) fn link_is_followed_and_can_be_read() -> Done {
    fs::write("/d/file", "behind the link\n")?;
    link("file", "/d/link")?;
    print!("{}", fs::read_to_string("/d/link")?);
    println!("{}", fs::read_link("/d/link")?.display());
    println!("{} {}", fs::metadata("/d/link")?.is_file(), fs::symlink_metadata("/d/link")?.is_symlink());
    Ok(())
}

pub(crate) fn link_to_nothing_is_not_found() -> Done {
    link("missing", "/d/link")?;
    say("read", fs::read("/d/link"));
    say("look", fs::symlink_metadata("/d/link"));
    Ok(())
}

pub(crate) fn circle_of_links_is_refused() -> Done {
    link("b", "/d/a")?;
    link("a", "/d/b")?;
    say("read", fs::read("/d/a"));
    Ok(())
}

pub(crate) fn link_that_leads_out_is_refused() -> Done {
    link("../secret", "/d/link")?;
    say("read", fs::read("/d/link"));
    Ok(())
}

pub(crate) fn absolute_link_is_refused() -> Done {
    say("make", link("/etc/hostname", "/d/link"));
    say("read", fs::read("/d/planted"));
    Ok(())
}

pub(crate) fn path_that_leads_out_is_refused() -> Done {
    for path in ["/d/../secret", "/d/./../secret", "/etc/hostname", "secret"] {
        say(path, fs::read(path));
    }
    Ok(())
}

pub(crate) fn without_a_directory_there_is_no_file() -> Done {
    say("read", fs::read("/d/file"));
    say("write", fs::write("file", "x"));
    say("list", fs::read_dir(".").map(drop));
    Ok(())
}

pub(crate) fn two_directories_are_apart_and_files_move_between_them() -> Done {
    fs::write("/d/file", "moved\n")?;
    say("elsewhere", fs::metadata("/e/file"));
    fs::rename("/d/file", "/e/file")?;
    say("left", fs::metadata("/d/file"));
    print!("{}", fs::read_to_string("/e/file")?);
    Ok(())
}
