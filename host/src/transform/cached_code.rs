//! Compiled code on disk, so that a restart does not compile again.
//!
//! Compiled code is native code: whoever can write it can run anything in this process. So it is read only from a
//! directory that belongs to this user and that nobody else may enter (mode 0700), each file carries a digest of its
//! contents against truncation and rot, and its name says which module and which build of the compiler it belongs to.
//! A cache that cannot be trusted or used is a warning, never an error: the module is compiled in memory instead.

use std::fs::{self, DirBuilder};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tracing::warn;
use wasmtime::Engine;
use wasmtime::component::Component;

/// Length of the digest at the head of each file.
const DIGEST_BYTES: usize = 32;

/// A directory of compiled components.
#[derive(Debug)]
pub(crate) struct CachedCode {
    directory: PathBuf,
}

impl CachedCode {
    /// Opens (or makes) `directory`. `None`, with a warning, when it cannot be used or could be written by others.
    pub(crate) fn open(directory: &Path) -> Option<Self> {
        match prepare(directory) {
            Ok(()) => Some(Self { directory: directory.to_owned() }),
            Err(error) => {
                warn!(directory = %directory.display(), %error, "compiled transforms are not cached on disk");
                None
            }
        }
    }

    /// The component stored under `key`, or `None` when there is none, or it is damaged.
    pub(crate) fn load(&self, engine: &Engine, key: &str) -> Option<Component> {
        let path = self.path(key);
        let contents = fs::read(&path).ok()?;
        let (digest, code) = contents.split_at_checked(DIGEST_BYTES)?;
        if Sha256::digest(code).as_slice() != digest {
            warn!(path = %path.display(), "a compiled transform is damaged and is compiled again");
            return None;
        }
        deserialize(engine, code).ok()
    }

    /// Stores `code` (the serialised form of a component) under `key`. A failure costs time at the next start only.
    pub(crate) fn store(&self, key: &str, code: &[u8]) {
        let write = || -> io::Result<()> {
            let mut file = tempfile::NamedTempFile::new_in(&self.directory)?;
            file.write_all(&Sha256::digest(code))?;
            file.write_all(code)?;
            file.persist(self.path(key)).map_err(|error| error.error)?;
            Ok(())
        };
        if let Err(error) = write() {
            warn!(directory = %self.directory.display(), %error, "could not cache a compiled transform");
        }
    }

    fn path(&self, key: &str) -> PathBuf {
        self.directory.join(format!("{key}.cwasm"))
    }
}

/// Makes the directory if need be, and refuses one that is not ours alone.
fn prepare(directory: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let metadata = fs::symlink_metadata(directory)?;
    let ours = metadata.uid() == rustix::process::geteuid().as_raw();
    if !metadata.is_dir() || !ours || metadata.mode() & 0o077 != 0 {
        return Err(io::Error::other("it must be a directory of this user with mode 0700"));
    }
    Ok(())
}

/// Makes a component of code that this program compiled itself.
#[allow(unsafe_code)]
fn deserialize(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: `deserialize` runs `code` as native code, so it must come from `Component::serialize`. It does: only
    // `store` writes into the directory, which was seen to belong to this user with mode 0700; the digest rules out
    // a truncated or damaged file; and wasmtime itself refuses code of another version, target or configuration.
    unsafe { Component::deserialize(engine, code) }
}
