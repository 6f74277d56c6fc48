//! Directories below `/d`.

use std::fs::{self, File};
use std::io::Read;

use super::{Done, say};

pub(crate) fn directory_can_be_made_and_removed() -> Done {
    say("make", fs::create_dir("/d/dir"));
    println!("{}", fs::metadata("/d/dir")?.is_dir());
    say("remove", fs::remove_dir("/d/dir"));
    say("look", fs::metadata("/d/dir"));
    Ok(())
}

pub(crate) fn making_a_directory_twice_is_refused() -> Done {
    say("first", fs::create_dir("/d/dir"));
    say("second", fs::create_dir("/d/dir"));
    Ok(())
}

pub(crate) fn removing_a_full_directory_is_refused() -> Done {
    fs::create_dir("/d/dir")?;
    fs::write("/d/dir/file", "x")?;
    say("remove", fs::remove_dir("/d/dir"));
    Ok(())
}

pub(crate) fn removing_a_directory_as_a_file_is_refused() -> Done {
    fs::create_dir("/d/dir")?;
    fs::write("/d/file", "x")?;
    say("directory", fs::remove_file("/d/dir"));
    say("file", fs::remove_dir("/d/file"));
    Ok(())
}

pub(crate) fn directory_is_listed_with_kinds() -> Done {
    fs::create_dir("/d/dir")?;
    fs::write("/d/file", "x")?;
    fs::write("/d/ünï", "x")?;
    let mut entries = Vec::new();
    for entry in fs::read_dir("/d")? {
        let entry = entry?;
        entries.push((entry.file_name(), entry.file_type()?.is_dir()));
    }
    entries.sort();
    println!("{entries:?}");
    Ok(())
}

pub(crate) fn directories_can_be_nested_and_removed_with_all() -> Done {
    fs::create_dir_all("/d/a/b/c")?;
    fs::write("/d/a/b/c/file", "deep\n")?;
    print!("{}", fs::read_to_string("/d/a/./b/../b/c/file")?);
    fs::remove_dir_all("/d/a")?;
    say("look", fs::metadata("/d/a"));
    Ok(())
}

pub(crate) fn directory_can_be_renamed() -> Done {
    fs::create_dir("/d/from")?;
    fs::write("/d/from/file", "moved\n")?;
    fs::rename("/d/from", "/d/to")?;
    print!("{}", fs::read_to_string("/d/to/file")?);
    Ok(())
}

pub(crate) fn directory_is_no_file() -> Done {
    fs::create_dir("/d/dir")?;
    say("write", fs::write("/d/dir", "x"));
    say("read", File::open("/d/dir").and_then(|mut file| file.read(&mut [0; 1])));
    Ok(())
}

pub(crate) fn file_is_no_directory() -> Done {
    fs::write("/d/file", "x")?;
    say("below", fs::read("/d/file/below"));
    say("list", fs::read_dir("/d/file").map(drop));
    Ok(())
}
