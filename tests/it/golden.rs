//! Comparison with files of expected text in `tests/golden`. `WASMILL_BLESS=1` writes them anew.

use std::path::{Path, PathBuf};

/// The file `name` of expected text.
pub(crate) fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(name)
}

/// Checks `found` against the file `name`, or writes it when asked to bless.
pub(crate) fn check(name: &str, found: &str) {
    let path = path(name);
    if std::env::var_os("WASMILL_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("the directory can be made");
        std::fs::write(&path, found).expect("the file can be written");
        return;
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        wanted == found,
        "{} differs; if the change is meant, run the test again with WASMILL_BLESS=1\n--- wanted\n{wanted}\n--- found\n{found}",
        path.display()
    );
}
