//! `wasmill transform new`: a project for a transform, ready to build and test.
//!
//! Guarantee: the project stands on its own, anywhere. It holds the SDK's source as this binary was built with it, and
//! the versions of all dependencies that it was tested with. It appears whole or not at all, and nothing that exists is
//! overwritten. Does not know: how the project is built ([`build`](super::build) does).

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::error::{Error, Result};

/// The SDK's files, by their paths in the repository. Empty in a binary that was built outside of it.
const SOURCE: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/sdk_source.rs"));

/// Where the SDK lies in a project.
const SDK: &str = "sdk";

/// What a new transform starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Keeps or drops events.
    Filter,
    /// Adds columns.
    Enrich,
    /// Rejects events with a reason.
    Validate,
    /// Works on whole columns.
    Columnar,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 4] = [Kind::Filter, Kind::Enrich, Kind::Validate, Kind::Columnar];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Filter => "filter",
            Kind::Enrich => "enrich",
            Kind::Validate => "validate",
            Kind::Columnar => "columnar",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(name: &str) -> Result<Kind, String> {
        let known = Kind::ALL.into_iter().find(|kind| kind.name() == name);
        known.ok_or_else(|| {
            let names = Kind::ALL.map(Kind::name).join(", ");
            format!("`{name}` is not a kind of transform; known: {names}")
        })
    }
}

/// Write a project called `name` into the directory `into`; gives the project's directory, `into/name`.
///
/// It holds `src/lib.rs` with a test, `events.jsonl` with sample events and `schema.toml` with their schema.
///
/// # Errors
/// `Config`: the name cannot be a package's, or something of that name exists. `Fatal`: the project cannot be written,
/// or this binary was built without the SDK's source.
pub fn create(name: &str, kind: Kind, into: &Path) -> Result<PathBuf> {
    check_name(name)?;
    let project = into.join(name);
    if project.symlink_metadata().is_ok() {
        return Err(Error::config(format!("{} exists", project.display())).hint("choose another name, or move it away"));
    }
    let failed = |error: std::io::Error| Error::fatal(format!("cannot write {}", project.display())).because(error);
    fs::create_dir_all(into).map_err(failed)?;
    let draft = tempfile::Builder::new().prefix(&format!(".{name}")).tempdir_in(into).map_err(failed)?;
    let root = draft.path().join(name);
    for (path, text) in files(name, kind)? {
        let path = root.join(path);
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).map_err(failed)?;
        }
        fs::write(path, text).map_err(failed)?;
    }
    fs::rename(&root, &project).map_err(failed)?;
    Ok(project)
}

/// A package's name, as cargo takes it, that is also a file's name and a metric's label.
fn check_name(name: &str) -> Result<()> {
    let first = name.chars().next().is_some_and(|c| c.is_ascii_lowercase());
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    // Cargo refuses the names of its own directories and of the standard library's crates.
    let reserved = ["test", "core", "std", "alloc", "build", "deps", "examples"];
    if first && name.chars().all(plain) && name.len() <= 64 && !reserved.contains(&name) {
        return Ok(());
    }
    Err(Error::config(format!("`{name}` cannot be the name of a transform"))
        .hint("small letters, digits, `-` and `_`, beginning with a letter, such as `keep-long`"))
}

/// The project's files: path and text of each.
fn files(name: &str, kind: Kind) -> Result<Vec<(String, String)>> {
    let template = format!("{kind}.rs");
    let mut files = vec![
        ("Cargo.toml".to_owned(), manifest(name)),
        (".gitignore".to_owned(), "/target/\n*.wasm\n".to_owned()),
        ("README.md".to_owned(), readme(name, kind)),
        ("src/lib.rs".to_owned(), embedded(&format!("guest-sdk/templates/{template}"))?.to_owned()),
        (format!("{SDK}/Cargo.toml"), sdk_manifest()?),
    ];
    for file in ["events.jsonl", "schema.toml"] {
        let text = embedded(&format!("guest-sdk/templates/{file}"))?;
        files.push((file.to_owned(), text.to_owned()));
    }
    // The versions of the repository; cargo takes out what the project does not need.
    for file in ["Cargo.lock", "rust-toolchain.toml"] {
        files.push((file.to_owned(), embedded(file)?.to_owned()));
    }
    let of_sdk = |path: &str| {
        let in_sdk = path.starts_with("guest-sdk/") && !path.starts_with("guest-sdk/templates/");
        in_sdk || path.starts_with("wit/") || path == "LICENSE"
    };
    let sdk = SOURCE.iter().filter(|(path, _)| of_sdk(path));
    files.extend(sdk.map(|(path, text)| (format!("{SDK}/{path}"), (*text).to_owned())));
    Ok(files)
}

fn embedded(path: &str) -> Result<&'static str> {
    let found = SOURCE.iter().find(|(known, _)| *known == path);
    found.map(|(_, text)| *text).ok_or_else(|| {
        Error::fatal("this wasmill was built without the source of its SDK")
            .hint("build it in a checkout of its repository: cargo build --release -p wasmill")
    })
}

fn manifest(name: &str) -> String {
    format!(
        r#"[package]
name = "{name}"
version = "0.1.0"
edition = "2024"
publish = false

[lib]
crate-type = ["cdylib", "rlib"]

[dependencies]
wasmill-sdk = {{ path = "{SDK}/guest-sdk" }}

# The SDK's source is a workspace of its own.
[workspace]
exclude = ["{SDK}"]
"#
    )
}

fn readme(name: &str, kind: Kind) -> String {
    let module = format!("{}.wasm", name.replace('-', "_"));
    format!(
        "# {name}\n\n\
         A transform for wasmill, begun as `{kind}`. The code is in `src/lib.rs`; the author's guide is\n\
         `{SDK}/guest-sdk/README.md`.\n\n\
         ```sh\n\
         cargo test\n\
         wasmill transform build\n\
         wasmill transform test {module} --input events.jsonl\n\
         wasmill transform inspect {module}\n\
         ```\n"
    )
}

/// The SDK's workspace: the repository's, with only the SDK's members and what they depend on.
fn sdk_manifest() -> Result<String> {
    let members = ["guest-sdk", "guest-sdk/macros"];
    let whole = parse("Cargo.toml")?;
    let mut wanted = BTreeSet::new();
    for member in members {
        inherited(&parse(&format!("{member}/Cargo.toml"))?, &mut wanted);
    }
    let Some(toml::Value::Table(mut workspace)) = whole.get("workspace").cloned() else {
        return Err(Error::fatal("the embedded Cargo.toml describes no workspace"));
    };
    workspace.insert("members".to_owned(), members.to_vec().into());
    workspace.remove("exclude");
    if let Some(toml::Value::Table(dependencies)) = workspace.get_mut("dependencies") {
        dependencies.retain(|name, _| wanted.contains(name));
    }
    let manifest = toml::Table::from_iter([("workspace".to_owned(), workspace.into())]);
    toml::to_string_pretty(&manifest).map_err(|error| Error::fatal("cannot write the SDK's Cargo.toml").because(error))
}

fn parse(path: &str) -> Result<toml::Table> {
    let text = embedded(path)?;
    text.parse()
        .map_err(|error: toml::de::Error| Error::fatal(format!("the embedded {path} cannot be read")).because(error))
}

/// The dependencies that a manifest takes from its workspace, of every kind and target.
fn inherited(manifest: &toml::Table, wanted: &mut BTreeSet<String>) {
    for (key, value) in manifest {
        let Some(table) = value.as_table() else {
            continue;
        };
        if !key.ends_with("dependencies") {
            inherited(table, wanted);
            continue;
        }
        let is_inherited = |value: &toml::Value| value.get("workspace").is_some();
        let names = table.iter().filter(|(_, value)| is_inherited(value));
        wanted.extend(names.map(|(name, _)| name.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn a_project_is_whole() {
        let into = tempfile::tempdir().expect("a directory");
        for kind in Kind::ALL {
            let project = create(&format!("new-{kind}"), kind, into.path()).expect("a project");
            for file in ["src/lib.rs", "events.jsonl", "schema.toml", "Cargo.toml", "Cargo.lock"] {
                assert!(project.join(file).is_file(), "{file}");
            }
            let sdk = project.join(SDK);
            assert!(sdk.join("guest-sdk/macros/src/lib.rs").is_file());
            assert!(sdk.join("wit/transform.wit").is_file());
            assert!(!sdk.join("guest-sdk/templates").exists());
            let manifest = fs::read_to_string(sdk.join("Cargo.toml")).expect("the SDK's manifest");
            assert!(manifest.contains("wit-bindgen") && !manifest.contains("wasmtime"), "{manifest}");
            let source = fs::read_to_string(project.join("src/lib.rs")).expect("the source");
            assert!(source.contains("#[cfg(test)]"));
            assert_eq!(kind.name().parse(), Ok(kind));
        }
        // Nothing of a draft is left.
        let entries = fs::read_dir(into.path()).expect("the directory").count();
        assert_eq!(entries, Kind::ALL.len());
    }

    #[test]
    fn nothing_is_overwritten() {
        let into = tempfile::tempdir().expect("a directory");
        fs::write(into.path().join("mine"), "precious").expect("a file");
        let error = create("mine", Kind::Filter, into.path()).expect_err("it exists");
        assert_eq!(error.kind(), ErrorKind::Config);
        let text = fs::read_to_string(into.path().join("mine")).expect("the file");
        assert_eq!(text, "precious");
    }

    #[test]
    fn names_are_checked() {
        let into = tempfile::tempdir().expect("a directory");
        for name in ["", "-a", "1a", "A", "a b", "a/b", "..", "a.b", "test", "é"] {
            let error = create(name, Kind::Filter, into.path()).expect_err(name);
            assert_eq!(error.kind(), ErrorKind::Config, "{name}");
        }
        assert_eq!(fs::read_dir(into.path()).expect("the directory").count(), 0);
        assert!("map".parse::<Kind>().is_err_and(|error| error.contains("columnar")));
    }

    #[test]
    fn a_new_project_builds_without_the_repository() {
        let into = tempfile::tempdir().expect("a directory");
        let project = create("new-one", Kind::Columnar, into.path()).expect("a project");
        let built = crate::transform::build::build(&project, None).expect("a module");
        assert_eq!(built.path, project.join("new_one.wasm"));
        assert!(built.size > 10_000);
    }
}
