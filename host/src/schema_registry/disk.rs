//! Known schemas on disk, so that a start does not need the registry for what the last run knew.
//!
//! One file for each id, in a directory of the registry's own. The cache may be lost at any time, and what cannot be read
//! in it is as good as absent.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::Registered;

pub(super) struct Disk {
    directory: PathBuf,
}

impl Disk {
    /// The cache below `directory` of the registry at `url`: an id means something only there.
    pub(super) fn new(directory: &Path, url: &str) -> Self {
        Self { directory: directory.join(digest(url)) }
    }

    pub(super) fn read(&self, id: u32) -> Option<Registered> {
        self.read_as(&id.to_string())
    }

    pub(super) fn write(&self, id: u32, schema: &Registered) -> std::io::Result<()> {
        self.write_as(&id.to_string(), schema)
    }

    /// What was noted last of a version of a subject.
    pub(super) fn read_version(&self, subject: &str, version: &str) -> Option<Registered> {
        self.read_as(&named(subject, version))
    }

    pub(super) fn write_version(&self, subject: &str, version: &str, schema: &Registered) -> std::io::Result<()> {
        self.write_as(&named(subject, version), schema)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.json"))
    }

    fn read_as(&self, name: &str) -> Option<Registered> {
        serde_json::from_slice(&std::fs::read(self.path(name)).ok()?).ok()
    }

    /// Written beside its place and renamed: a reader finds all of it or nothing.
    fn write_as(&self, name: &str, schema: &Registered) -> std::io::Result<()> {
        std::fs::create_dir_all(&self.directory)?;
        let file = tempfile::NamedTempFile::new_in(&self.directory)?;
        serde_json::to_writer(&file, schema)?;
        file.persist(self.path(name)).map(drop).map_err(|error| error.error)
    }
}

/// A subject may be called anything, a file may not.
fn named(subject: &str, version: &str) -> String {
    format!("{}-{version}", digest(subject))
}

fn digest(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}
