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
        let digest = Sha256::digest(url.as_bytes());
        let name: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        Self { directory: directory.join(name) }
    }

    fn path(&self, id: u32) -> PathBuf {
        self.directory.join(format!("{id}.json"))
    }

    pub(super) fn read(&self, id: u32) -> Option<Registered> {
        serde_json::from_slice(&std::fs::read(self.path(id)).ok()?).ok()
    }

    /// Written beside its place and renamed: a reader finds all of it or nothing.
    pub(super) fn write(&self, id: u32, schema: &Registered) -> std::io::Result<()> {
        std::fs::create_dir_all(&self.directory)?;
        let file = tempfile::NamedTempFile::new_in(&self.directory)?;
        serde_json::to_writer(&file, schema)?;
        file.persist(self.path(id)).map(drop).map_err(|error| error.error)
    }
}
