//! Files in `/d`.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};

use super::{Done, say};

pub(crate) fn file_that_was_written_can_be_read() -> Done {
    fs::write("/d/new", "written\n")?;
    print!("{}", fs::read_to_string("/d/new")?);
    Ok(())
}

pub(crate) fn missing_file_is_not_found() -> Done {
    say("read", fs::read("/d/missing"));
    say("below", fs::read("/d/missing/too"));
    Ok(())
}

pub(crate) fn appending_writes_at_the_end() -> Done {
    for word in ["one\n", "two\n"] {
        OpenOptions::new().append(true).create(true).open("/d/log")?.write_all(word.as_bytes())?;
    }
    print!("{}", fs::read_to_string("/d/log")?);
    Ok(())
}

pub(crate) fn creating_anew_refuses_what_is_there() -> Done {
    say("first", File::create_new("/d/new"));
    say("second", File::create_new("/d/new"));
    Ok(())
}

pub(crate) fn truncating_empties() -> Done {
    fs::write("/d/file", "long")?;
    File::create("/d/file")?.write_all(b"x")?;
    println!("{:?}", fs::read_to_string("/d/file")?);
    Ok(())
}

pub(crate) fn length_can_be_set() -> Done {
    fs::write("/d/file", "long")?;
    let file = OpenOptions::new().read(true).write(true).open("/d/file")?;
    file.set_len(2)?;
    println!("{:?}", fs::read_to_string("/d/file")?);
    file.set_len(4)?;
    println!("{:?}", fs::read_to_string("/d/file")?);
    Ok(())
}

pub(crate) fn seeking_moves_the_next_read_and_write() -> Done {
    fs::write("/d/file", "0123456789")?;
    let mut file = OpenOptions::new().read(true).write(true).open("/d/file")?;
    let mut two = [0; 2];
    for to in [SeekFrom::Start(4), SeekFrom::Current(1), SeekFrom::End(-3)] {
        let at = file.seek(to)?;
        file.read_exact(&mut two)?;
        println!("{at} {:?}", str::from_utf8(&two)?);
    }
    file.seek(SeekFrom::Start(1))?;
    file.write_all(b"ab")?;
    file.seek(SeekFrom::End(2))?;
    file.write_all(b"z")?;
    println!("{:?}", fs::read_to_string("/d/file")?);
    Ok(())
}

pub(crate) fn seeking_before_the_start_is_refused() -> Done {
    fs::write("/d/file", "0123456789")?;
    let mut file = File::open("/d/file")?;
    say("end", file.seek(SeekFrom::End(-11)));
    say("current", file.seek(SeekFrom::Current(-1)));
    Ok(())
}

pub(crate) fn metadata_tells_length_and_kind() -> Done {
    fs::write("/d/file", "0123456789")?;
    for path in ["/d/file", "/d"] {
        let told = fs::metadata(path)?;
        let length = if told.is_file() { told.len() } else { 0 };
        println!("{path}: file {}, directory {}, {length} bytes", told.is_file(), told.is_dir());
    }
    let age = fs::metadata("/d/file")?.modified()?.elapsed().unwrap_or_default();
    println!("new: {}", age.as_secs() < 3_600);
    Ok(())
}

pub(crate) fn file_can_be_copied() -> Done {
    fs::write("/d/from", "copied\n")?;
    println!("{}", fs::copy("/d/from", "/d/to")?);
    print!("{}", fs::read_to_string("/d/to")?);
    Ok(())
}

pub(crate) fn file_can_be_renamed() -> Done {
    fs::write("/d/from", "renamed\n")?;
    fs::rename("/d/from", "/d/to")?;
    say("from", fs::metadata("/d/from"));
    print!("{}", fs::read_to_string("/d/to")?);
    Ok(())
}

pub(crate) fn renaming_replaces_what_is_there() -> Done {
    fs::write("/d/from", "new\n")?;
    fs::write("/d/to", "old\n")?;
    fs::rename("/d/from", "/d/to")?;
    print!("{}", fs::read_to_string("/d/to")?);
    Ok(())
}

pub(crate) fn file_can_be_removed() -> Done {
    fs::write("/d/file", "x")?;
    say("first", fs::remove_file("/d/file"));
    say("second", fs::remove_file("/d/file"));
    Ok(())
}

pub(crate) fn syncing_succeeds() -> Done {
    let mut file = File::create("/d/file")?;
    file.write_all(b"x")?;
    say("all", file.sync_all());
    say("data", file.sync_data());
    Ok(())
}

/// Opens files until it is told that there are too many, closes one, and opens one more.
pub(crate) fn open_files_have_a_limit_and_closing_makes_room() -> Done {
    let mut open = Vec::new();
    let error = loop {
        match File::create(format!("/d/{}", open.len())) {
            Ok(file) => open.push(file),
            Err(error) => break error,
        }
    };
    println!("{} files, then {:?} {}", open.len(), error.kind(), error.raw_os_error().unwrap_or(-1));
    open.pop();
    say("one more", File::create("/d/more"));
    Ok(())
}

pub(crate) fn reading_what_was_opened_for_writing_is_refused() -> Done {
    let mut writer = File::create("/d/file")?;
    say("read", writer.read(&mut [0; 1]));
    let mut reader = File::open("/d/file")?;
    say("write", reader.write(b"x"));
    Ok(())
}

pub(crate) fn read_only_directory_refuses_every_change() -> Done {
    println!("{:?}", fs::read_to_string("/d/file")?);
    say("write", OpenOptions::new().write(true).open("/d/file"));
    say("create", File::create("/d/new"));
    say("remove", fs::remove_file("/d/file"));
    say("rename", fs::rename("/d/file", "/d/other"));
    say("make", fs::create_dir("/d/dir"));
    say("link", fs::hard_link("/d/file", "/d/link"));
    Ok(())
}
