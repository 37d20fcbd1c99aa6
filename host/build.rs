//! Embeds the guest SDK's source, for `wasmill transform new` (until the SDK is published, a new project gets a copy), and the
//! files of the console where they were built.
//!
//! Guarantee: outside the repository, where the source is not beside this package, it embeds nothing and does not fail;
//! `transform new` then says so. The same holds for the console, which needs Node to be built.

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
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    embed_console(&package, &out)?;
    embed_sdk(&package, &out)
}

/// What `npm run build` made: `(name, bytes)` of each file.
fn embed_console(package: &Path, out: &Path) -> io::Result<()> {
    let built = package.join("console/dist");
    // A path that is not there would run this script, and so compile everything, each time.
    let watched = if built.is_dir() { "console/dist" } else { "console" };
    println!("cargo::rerun-if-changed={watched}");
    let mut files = Vec::new();
    if built.is_dir() {
        collect(&built, Path::new(""), &mut files)?;
    }
    files.sort();
    let mut code = String::from("&[\n");
    for file in &files {
        let path = built.join(file).canonicalize()?;
        writeln!(code, "({file:?}, include_bytes!({path:?})),").map_err(io::Error::other)?;
    }
    code.push(']');
    fs::write(out.join("console_files.rs"), code)
}

fn embed_sdk(package: &Path, out: &Path) -> io::Result<()> {
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
