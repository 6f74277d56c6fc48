//! Whether a file is still what it was, without reading it.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// How long ago a file has to have changed last, so that the next change is sure to have another time: file systems count
/// in ticks, and clocks are set.
const SETTLED: Duration = Duration::from_secs(2);

/// A file at one time, in a directory of this user's own. Whatever is written to it by a call, or put in its place, has another
/// stamp; and after another boot nothing has the same one, as what a crash leaves behind has no time. What is written through a
/// mapping that was made before has not: so only files that this host has made itself are known by their stamps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    boot: String,
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// None where nothing can be said.
    pub(super) fn of(file: &Metadata) -> Option<Self> {
        Some(Self {
            boot: fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?,
            device: file.dev(),
            inode: file.ino(),
            bytes: file.size(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        })
    }

    /// Whether a later change would have another stamp. Of one that is not settled nothing may be noted.
    pub(super) fn is_settled(&self) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let changed = u64::try_from(self.changed.0).unwrap_or_default();
        now.checked_sub(SETTLED).is_some_and(|then| changed < then.as_secs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_or_put_in_place_has_another_stamp() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("file");
        let stamp = || Stamp::of(&fs::metadata(&path).expect("it is there")).expect("Linux has boots");
        fs::write(&path, "one").expect("written");
        let one = stamp();
        assert_eq!(stamp(), one);
        assert!(!one.is_settled(), "it may be written again in the same tick");
        let long_ago = Stamp { changed: (one.changed.0 - 10, 0), ..one.clone() };
        assert!(long_ago.is_settled() && long_ago != one);
        fs::write(dir.path().join("other"), "two").expect("written");
        fs::rename(dir.path().join("other"), &path).expect("put in its place");
        assert_ne!(stamp(), one);
    }
}
