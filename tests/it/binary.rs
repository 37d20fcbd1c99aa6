//! The `wasmill` binary under test: built once for the whole suite, by the same profile as the tests.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// The project's root.
pub(crate) fn root() -> &'static Path {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the tests lie in the project")
}

/// Cargo, without what a test is told of its package: build scripts of dependencies look at it, and would run again.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env!("CARGO"));
    let of_a_package = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for (name, _) in std::env::vars().filter(|(name, _)| of_a_package(name)) {
        command.env_remove(name);
    }
    command
}

/// The path of the binary.
pub(crate) fn path() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        // Cargo offers a binary's path only to tests of its own package.
        let built = cargo()
            .args(["build", "--release", "--quiet", "--package", "wasmill", "--bin", "wasmill"])
            .current_dir(root())
            .status()
            .expect("cargo can be started");
        assert!(built.success(), "the binary cannot be built");
        let test = std::env::current_exe().expect("the test has a path");
        let release = test.parent().and_then(Path::parent).expect("tests lie in release/deps");
        release.join("wasmill")
    })
}

/// The binary as a command in the project's root, without the settings of whoever runs the tests.
pub(crate) fn command() -> Command {
    let mut command = Command::new(path());
    command.current_dir(root());
    // Whatever is set for wasmill where the tests run.
    for (variable, _) in std::env::vars().filter(|(name, _)| name.starts_with("WASMILL_")) {
        command.env_remove(variable);
    }
    command
}

/// Runs the binary in the project's root.
pub(crate) fn run(arguments: &[&str]) -> Output {
    command().args(arguments).output().expect("the binary can be started")
}

/// Standard output as text.
pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Standard error as text.
pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
