//! Embeds the guest SDK's source, for `wasmill transform new`: until the SDK is published, a new project gets a copy.
//!
//! Guarantee: outside the repository, where the source is not beside this package, it embeds nothing and does not fail;
//! `transform new` then says so.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What a project's copy is made of, relative to the repository.
const EMBEDDED: [&str; 8] = [
    "Cargo.toml",
    "Cargo.lock",
    "rust-toolchain.toml",
    "wit/transform.wit",
    "guest-sdk/Cargo.toml",
    "guest-sdk/README.md",
    "guest-sdk/macros/Cargo.toml",
    "LICENSE",
];
const EMBEDDED_DIRECTORIES: [&str; 3] = ["guest-sdk/src", "guest-sdk/macros/src", "guest-sdk/templates"];

fn main() -> io::Result<()> {
    let package = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let root = package.join("..");
    let mut files: Vec<String> = Vec::new();
    if root.join("guest-sdk").is_dir() {
        files.extend(EMBEDDED.map(str::to_owned));
        for directory in EMBEDDED_DIRECTORIES {
            println!("cargo::rerun-if-changed=../{directory}");
            collect(&root, Path::new(directory), &mut files)?;
        }
    }
    files.sort();
    println!("cargo::rerun-if-changed=build.rs");
    let mut code = String::from("&[\n");
    for file in &files {
        println!("cargo::rerun-if-changed=../{file}");
        let path = root.join(file).canonicalize()?;
        writeln!(code, "({file:?}, include_str!({path:?})),").map_err(io::Error::other)?;
    }
    code.push(']');
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    fs::write(out.join("sdk_source.rs"), code)
}

fn collect(root: &Path, directory: &Path, files: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(root.join(directory))? {
        let entry = entry?;
        let path = directory.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            collect(root, &path, files)?;
        } else if let Some(path) = path.to_str() {
            files.push(path.replace('\\', "/"));
        }
    }
    Ok(())
}
