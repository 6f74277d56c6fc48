//! Compiled programs on disk, so that a program is compiled once and not at every start.
//!
//! A compiled program is machine code that the engine trusts. So the directory belongs to this user alone (mode 0700), an
//! entry is named by a hash of the program and of everything that decides about its code, a hash of the code lies beside it in
//! its *seal*, and it appears whole or not at all. Whatever is wrong with an entry, the program is compiled again.
//!
//! The code is mapped and not read, so that only what a program runs comes into memory, and its data is shared by all who run
//! it. It is read once in each boot, to compare it with its seal; from then on its [stamp](Stamp) says that it is the same.

use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use wasmtime::Engine;
use wasmtime::component::Component;

use super::stamp::Stamp;
use crate::private_dir::make_private_dir;

/// Changes when this host treats the same bytes in another way (such as another adapter for core modules).
const CACHE_VERSION: &[u8] = b"lockkeeper 4";

/// The name of the directory that holds the entries. It is made by this host alone, whatever it lies in.
const COMPILED: &str = "compiled";

/// A directory of compiled programs.
#[derive(Debug)]
pub(crate) struct Cache {
    dir: PathBuf,
}

/// The name of an entry.
#[derive(Debug)]
pub(crate) struct Key(String);

/// What lies beside an entry.
#[derive(Serialize, Deserialize)]
struct Seal {
    /// The hash of its code.
    checksum: [u8; 32],
    /// Of the entry when it was last found to have that hash.
    stamp: Option<Stamp>,
}

struct Digest(blake3::Hasher);

impl Hasher for Digest {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        unreachable!("only the whole hash is read")
    }
}

impl Cache {
    /// Opens the directory of compiled programs below `dir`, and makes it where it is missing.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        let dir = dir.join(COMPILED);
        make_private_dir(&dir)?;
        Ok(Self { dir })
    }

    /// Whether a file lies in the directory that this one lies in, so that it is this host's own.
    pub(super) fn is_above(&self, file: &Path) -> bool {
        let own = self.dir.parent().and_then(|own| std::path::absolute(own).ok());
        own.zip(std::path::absolute(file).ok()).is_some_and(|(own, file)| file.starts_with(own))
    }

    pub(crate) fn key(&self, engine: &Engine, program: &[u8; 32]) -> Key {
        let mut digest = Digest(blake3::Hasher::new());
        digest.write(CACHE_VERSION);
        engine.precompile_compatibility_hash().hash(&mut digest);
        digest.write(program);
        Key(digest.0.finalize().to_hex().to_string())
    }

    pub(crate) fn load(&self, engine: &Engine, key: &Key) -> Option<Component> {
        let path = self.path(key);
        let file = File::open(&path).ok()?;
        if !self.is_whole(&file, key) {
            tracing::warn!(entry = %path.display(), "a damaged cache entry is compiled anew");
            return None;
        }
        #[expect(unsafe_code, reason = "the engine cannot check machine code that it is given")]
        // SAFETY: both want the unchanged output of `serialize` from a compatible engine, and the first one that the file
        // stays as it is. The directory was checked to be this user's alone, entries appear in it only by `store`, which
        // never writes to one that is there, the hash in the name covers the engine's version and settings, and the code
        // was found to have the hash in its seal.
        let component = unsafe {
            // From a file system for data only, no code can be mapped.
            Component::deserialize_file(engine, &path)
                .or_else(|_| Component::deserialize(engine, fs::read(&path).unwrap_or_default()))
        };
        component.inspect_err(|error| tracing::warn!(%error, "a cache entry does not fit this engine")).ok()
    }

    /// Whether an entry is what was stored. It is read unless it was before, and is the same since then.
    fn is_whole(&self, entry: &File, key: &Key) -> bool {
        let Some(seal) = self.note::<Seal>(&key.seal()) else { return false };
        let stamp = entry.metadata().ok().and_then(|file| Stamp::of(&file));
        if stamp.is_some() && stamp == seal.stamp {
            return true;
        }
        let mut hasher = blake3::Hasher::new();
        if hasher.update_reader(entry).is_err() || *hasher.finalize().as_bytes() != seal.checksum {
            return false;
        }
        if stamp.as_ref().is_some_and(Stamp::is_settled) {
            self.keep_note(&key.seal(), &Seal { stamp, ..seal });
        }
        true
    }

    /// Keeps a compiled program. If that fails, the next start compiles again: nobody needs to be told.
    pub(crate) fn store(&self, key: &Key, component: &Component) {
        let write = || -> io::Result<()> {
            let code = component.serialize().map_err(io::Error::other)?;
            let mut file = tempfile::NamedTempFile::new_in(&self.dir)?;
            file.write_all(&code)?;
            file.persist(self.path(key))?;
            self.keep_note(&key.seal(), &Seal { checksum: *blake3::hash(&code).as_bytes(), stamp: None });
            Ok(())
        };
        if let Err(error) = write() {
            tracing::warn!(dir = %self.dir.display(), %error, "a compiled program could not be cached");
        }
    }

    /// What is kept under a name in the directory, beside the entries.
    pub(super) fn note<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        serde_json::from_slice(&fs::read(self.dir.join(name)).ok()?).ok()
    }

    /// Keeps something under a name. If that fails, it is found out again.
    pub(super) fn keep_note<T: Serialize>(&self, name: &str, what: &T) {
        let write = || -> io::Result<()> {
            let mut file = tempfile::NamedTempFile::new_in(&self.dir)?;
            serde_json::to_writer(&mut file, what)?;
            file.persist(self.dir.join(name))?;
            Ok(())
        };
        if let Err(error) = write() {
            tracing::warn!(dir = %self.dir.display(), %error, "nothing can be noted in the cache");
        }
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.dir.join(format!("{}.cwasm", key.0))
    }
}

impl Key {
    fn seal(&self) -> String {
        format!("{}.seal", self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_damaged_entry_is_not_used() {
        let dir = tempfile::tempdir().expect("a directory");
        let cache = Cache::open(&dir.path().join("new/cache")).expect("a cache");
        assert_eq!(fs::metadata(&cache.dir).expect("is there").permissions().mode() & 0o777, 0o700);
        let engine = Engine::default();
        let component = Component::new(&engine, "(component)").expect("the smallest component");
        let key = cache.key(&engine, &[7; 32]);
        assert!(cache.load(&engine, &key).is_none());
        cache.store(&key, &component);
        assert!(cache.load(&engine, &key).is_some());
        let path = cache.path(&key);
        let mut bytes = fs::read(&path).expect("an entry");
        *bytes.last_mut().expect("not empty") ^= 1;
        fs::write(&path, &bytes).expect("written");
        assert!(cache.load(&engine, &key).is_none());
        fs::write(&path, b"short").expect("written");
        assert!(cache.load(&engine, &key).is_none());
        cache.store(&key, &component);
        assert!(cache.load(&engine, &key).is_some());
        fs::remove_file(cache.dir.join(key.seal())).expect("there is a seal");
        assert!(cache.load(&engine, &key).is_none());
    }

    #[test]
    fn an_entry_is_read_until_its_stamp_says_that_it_is_the_same() {
        let dir = tempfile::tempdir().expect("a directory");
        let cache = Cache::open(dir.path()).expect("a cache");
        let engine = Engine::default();
        let key = cache.key(&engine, &[7; 32]);
        cache.store(&key, &Component::new(&engine, "(component)").expect("the smallest component"));
        let entry = File::open(cache.path(&key)).expect("an entry");
        let is_whole = || cache.is_whole(&entry, &key);
        assert!(is_whole());
        assert_eq!(cache.note::<Seal>(&key.seal()).expect("a seal").stamp, None, "it could change without a trace");
        let stamp = || Stamp::of(&entry.metadata().expect("it is there"));
        // Under this seal it can be whole only by its stamp.
        let before = stamp();
        cache.keep_note(&key.seal(), &Seal { checksum: [0; 32], stamp: before.clone() });
        assert!(is_whole());
        while stamp() == before {
            let bytes = fs::read(cache.path(&key)).expect("an entry");
            fs::write(cache.path(&key), bytes).expect("written");
        }
        assert!(!is_whole());
    }
}
