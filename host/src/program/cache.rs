//! Compiled programs on disk, so that a program is compiled once and not at every start.
//!
//! A compiled program is machine code that the engine trusts. So the directory belongs to this user alone (mode 0700), an
//! entry is named by a hash of the program and of everything that decides about its code, it begins with a hash of itself,
//! and it appears whole or not at all. Whatever is wrong with an entry, the program is compiled again.

use std::fs::{self, DirBuilder};
use std::hash::{Hash, Hasher};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use wasmtime::Engine;
use wasmtime::component::Component;

/// Changes when this host treats the same bytes in another way (such as another adapter for core modules).
const CACHE_VERSION: &[u8] = b"lockkeeper 3";

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
    /// Opens the directory of compiled programs below `dir`, and makes it where it is missing. One that others could ever
    /// write to may hold their code, so it is refused and not mended.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        let dir = dir.join(COMPILED);
        DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        let found = fs::symlink_metadata(&dir)?;
        let refuse = |why| Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
        if !found.is_dir() || found.uid() != rustix::process::geteuid().as_raw() {
            return refuse(format!("`{COMPILED}` in it is not a directory of this user's own"));
        }
        if found.permissions().mode() & 0o077 != 0 {
            return refuse(format!("`{COMPILED}` in it is open to other users; remove it, and it is made anew"));
        }
        Ok(Self { dir })
    }

    pub(crate) fn key(&self, engine: &Engine, program: &[u8]) -> Key {
        let mut digest = Digest(blake3::Hasher::new());
        digest.write(CACHE_VERSION);
        engine.precompile_compatibility_hash().hash(&mut digest);
        digest.write(program);
        Key(digest.0.finalize().to_hex().to_string())
    }

    pub(crate) fn load(&self, engine: &Engine, key: &Key) -> Option<Component> {
        let entry = fs::read(self.path(key)).ok()?;
        let whole = entry.split_at_checked(blake3::OUT_LEN).filter(|(sum, code)| blake3::hash(code).as_bytes() == sum);
        let Some((_, code)) = whole else {
            tracing::warn!(entry = %self.path(key).display(), "a damaged cache entry is compiled anew");
            return None;
        };
        #[expect(unsafe_code, reason = "the engine cannot check machine code that it is given")]
        // SAFETY: `deserialize` wants the unchanged output of `serialize` from a compatible engine. The directory was
        // checked to be this user's alone, entries appear in it only by `store`, the hash in the name covers the
        // engine's version and settings, and the hash in the entry was just found to fit the code.
        let component = unsafe { Component::deserialize(engine, code) };
        component.inspect_err(|error| tracing::warn!(%error, "a cache entry does not fit this engine")).ok()
    }

    /// Keeps a compiled program. If that fails, the next start compiles again: nobody needs to be told.
    pub(crate) fn store(&self, key: &Key, component: &Component) {
        let write = || -> io::Result<()> {
            let code = component.serialize().map_err(io::Error::other)?;
            let mut file = tempfile::NamedTempFile::new_in(&self.dir)?;
            file.write_all(blake3::hash(&code).as_bytes())?;
            file.write_all(&code)?;
            file.persist(self.path(key))?;
            Ok(())
        };
        if let Err(error) = write() {
            tracing::warn!(dir = %self.dir.display(), %error, "a compiled program could not be cached");
        }
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.dir.join(format!("{}.cwasm", key.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_entry_is_not_used() {
        let dir = tempfile::tempdir().expect("a directory");
        let cache = Cache::open(&dir.path().join("new/cache")).expect("a cache");
        assert_eq!(fs::metadata(&cache.dir).expect("is there").permissions().mode() & 0o777, 0o700);
        let engine = Engine::default();
        let component = Component::new(&engine, "(component)").expect("the smallest component");
        let key = cache.key(&engine, b"(component)");
        assert!(cache.load(&engine, &key).is_none());
        cache.store(&key, &component);
        assert!(cache.load(&engine, &key).is_some());
        let mut bytes = fs::read(cache.path(&key)).expect("an entry");
        *bytes.last_mut().expect("not empty") ^= 1;
        fs::write(cache.path(&key), bytes).expect("written");
        assert!(cache.load(&engine, &key).is_none());
        fs::write(cache.path(&key), b"short").expect("written");
        assert!(cache.load(&engine, &key).is_none());
    }
}
