//! `wasmill transform build`: from a Rust project to a module that the engine takes.
//!
//! Guarantee: what is written imports nothing but this project's interfaces, carries its component type and its name and
//! version, and has no debug sections; the name section stays, so that a trap has a backtrace. This is the one place
//! that knows how to compile for `wasm32-unknown-unknown`, with rustup's toolchain or Debian's. It blocks, and leaves
//! cargo's messages on standard error, where the author expects them. Does not know: the engine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;
use wasm_encoder::RawSection;
use wasmparser::{Encoding, Parser, Payload};

use crate::error::{Error, Result};

const TARGET: &str = "wasm32-unknown-unknown";

/// The package of `wit/transform.wit`: all that a module may import lies in it.
const PACKAGE: &str = "wasmill:transform/";

/// The engine always has 128-bit SIMD, and searches in text are several times faster with it.
const FLAGS: &str = r#"target.wasm32-unknown-unknown.rustflags=["-Ctarget-feature=+simd128"]"#;

/// A module that was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuiltModule {
    /// Where it was written.
    pub path: PathBuf,
    /// The package's name.
    pub name: String,
    /// Its bytes.
    pub size: u64,
}

/// Build the package in the directory `project` (a project of its own, or a member of a workspace) and write its
/// module to `out`; without `out`, to `<library name>.wasm` in that directory.
///
/// # Errors
/// `Config`: not a project that makes a module, or one whose module imports what no host offers. `Fatal`: a tool is
/// missing (the hint says how to get it), the compiler failed (its messages stand on standard error), or the file cannot
/// be written.
pub fn build(project: &Path, out: Option<&Path>) -> Result<BuiltModule> {
    let package = Package::find(project)?;
    let toolchain = Toolchain::find(project)?;
    let artifact = compile(&package, toolchain)?;
    let module = fs::read(&artifact)
        .map_err(|error| Error::fatal(format!("cannot read {}", artifact.display())).because(error))?;
    let module = finish(&module)?;
    let path = match out {
        Some(out) => out.to_path_buf(),
        None => project.join(format!("{}.wasm", package.library)),
    };
    write_whole(&path, &module)?;
    Ok(BuiltModule { path, name: package.name, size: module.len() as u64 })
}

/// The package to build.
struct Package {
    name: String,
    manifest: PathBuf,
    /// The library's name, with underscores.
    library: String,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<MetadataPackage>,
}

#[derive(Deserialize)]
struct MetadataPackage {
    name: String,
    manifest_path: PathBuf,
    targets: Vec<MetadataTarget>,
}

#[derive(Deserialize)]
struct MetadataTarget {
    name: String,
    crate_types: Vec<String>,
}

impl Package {
    fn find(project: &Path) -> Result<Package> {
        let manifest = project.join("Cargo.toml");
        let manifest = manifest.canonicalize().map_err(|error| {
            Error::config(format!("{} is not a Rust project: it has no Cargo.toml", project.display()))
                .because(error)
                .hint("`wasmill transform new NAME` writes a project")
        })?;
        let mut cargo = Command::new("cargo");
        cargo.args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path"]).arg(&manifest);
        let output = run(cargo.stdout(Stdio::piped()), "cargo")?;
        let metadata: Metadata = serde_json::from_slice(&output)
            .map_err(|error| Error::fatal("cannot read what `cargo metadata` says").because(error))?;
        let is_this =
            |package: &MetadataPackage| package.manifest_path.canonicalize().is_ok_and(|path| path == manifest);
        let Some(package) = metadata.packages.into_iter().find(is_this) else {
            return Err(Error::config(format!("{} describes a workspace, not a package", manifest.display()))
                .hint("name the directory of the transform itself"));
        };
        let is_module = |target: &MetadataTarget| target.crate_types.iter().any(|kind| kind == "cdylib");
        match package.targets.into_iter().find(is_module) {
            Some(target) => Ok(Package { name: package.name, manifest, library: target.name.replace('-', "_") }),
            None => Err(Error::config(format!("package `{}` makes no module", package.name))
                .hint("add to its Cargo.toml: [lib] crate-type = [\"cdylib\", \"rlib\"]")),
        }
    }
}

/// Who compiles for WebAssembly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Toolchain {
    /// The toolchain that cargo uses here has the target.
    Installed,
    /// Debian's compiler, which builds the standard library from its source once.
    Debian,
}

impl Toolchain {
    fn find(project: &Path) -> Result<Toolchain> {
        let mut rustc = Command::new("rustc");
        rustc.args(["--print", "target-libdir", "--target", TARGET]).current_dir(project);
        let libraries = rustc.stderr(Stdio::null()).output().ok().map(|output| output.stdout).unwrap_or_default();
        let libraries = String::from_utf8_lossy(&libraries).trim().to_owned();
        let installed = !libraries.is_empty() && Path::new(&libraries).is_dir();
        let debian = ["/usr/bin/rustc", "/usr/bin/wasm-ld", "/usr/lib/rustlib/src/rust/library/std"];
        Self::choose(installed, debian.iter().all(|path| Path::new(path).exists()))
    }

    fn choose(installed: bool, debian: bool) -> Result<Toolchain> {
        match (installed, debian) {
            (true, _) => Ok(Toolchain::Installed),
            (false, true) => Ok(Toolchain::Debian),
            (false, false) => Err(Error::fatal(format!("the Rust compiler here cannot build for {TARGET}")).hint(
                "run `rustup target add wasm32-unknown-unknown`; without rustup, on Debian: \
                 `apt-get install rustc-web rust-web-src lld`",
            )),
        }
    }

    fn configure(self, cargo: &mut Command) {
        if self == Toolchain::Debian {
            cargo.args(["-Z", "build-std=std,panic_abort"]);
            cargo.env("RUSTC", "/usr/bin/rustc").env("RUSTC_BOOTSTRAP", "1");
            cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", "wasm-ld");
        }
    }
}

#[derive(Deserialize)]
struct Message {
    reason: String,
    manifest_path: Option<PathBuf>,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

/// Run cargo; gives the file it made.
fn compile(package: &Package, toolchain: Toolchain) -> Result<PathBuf> {
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--release", "--lib", "--target", TARGET, "--config", FLAGS]);
    cargo.args(["--message-format", "json-render-diagnostics", "--manifest-path"]).arg(&package.manifest);
    toolchain.configure(&mut cargo);
    // Where the project lies decides which rust-toolchain.toml and .cargo/config.toml count.
    if let Some(directory) = package.manifest.parent() {
        cargo.current_dir(directory);
    }
    let output = run(cargo.stdout(Stdio::piped()), "cargo")?;
    let messages = output.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice::<Message>(line).ok());
    let is_ours = |message: &Message| {
        let of_package = message.manifest_path.as_deref() == Some(&*package.manifest);
        of_package && message.reason == "compiler-artifact"
    };
    let is_module = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "wasm");
    let made = messages.filter(is_ours).flat_map(|message| message.filenames).find(is_module);
    made.ok_or_else(|| Error::fatal(format!("cargo built package `{}`, but no .wasm file came of it", package.name)))
}

/// Run a tool to its end; gives its standard output.
fn run(command: &mut Command, tool: &str) -> Result<Vec<u8>> {
    let output = command.stderr(Stdio::inherit()).output().map_err(|error| {
        Error::fatal(format!("cannot run `{tool}`")).because(error).hint("install Rust: https://rustup.rs")
    })?;
    match output.status.success() {
        true => Ok(output.stdout),
        false => Err(Error::fatal(format!("`{tool}` failed ({})", output.status)).hint("its messages stand above")),
    }
}

/// Check a module as the compiler made it, and take its debug sections away.
fn finish(module: &[u8]) -> Result<Vec<u8>> {
    let damaged = |error| Error::fatal("the compiler's module cannot be read").because(error);
    let mut finished = wasm_encoder::Module::new();
    let mut foreign: Vec<String> = Vec::new();
    let mut has_component_type = false;
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload.map_err(damaged)?;
        match &payload {
            Payload::Version { encoding: Encoding::Component, .. } => return Ok(module.to_vec()),
            Payload::ImportSection(section) => {
                for import in section.clone().into_imports() {
                    let import = import.map_err(damaged)?;
                    if !import.module.starts_with(PACKAGE) {
                        foreign.push(format!("{}::{}", import.module, import.name));
                    }
                }
            }
            Payload::CustomSection(section) if section.name().starts_with(".debug_") => continue,
            Payload::CustomSection(section) => has_component_type |= section.name().starts_with("component-type"),
            _ => {}
        }
        if let Some((id, range)) = payload.as_section() {
            finished.section(&RawSection { id, data: &module[range] });
        }
    }
    if !foreign.is_empty() {
        return Err(refuse(&foreign));
    }
    if !has_component_type {
        return Err(Error::config("the package exports no transform").hint(
            "put #[filter], #[enrich], #[validate] or #[transform] of wasmill-sdk on a function of its library",
        ));
    }
    Ok(finished.finish())
}

fn refuse(foreign: &[String]) -> Error {
    const SHOWN: usize = 5;
    let mut names = foreign[..foreign.len().min(SHOWN)].join(", ");
    if foreign.len() > SHOWN {
        names.push_str(&format!(" and {} more", foreign.len() - SHOWN));
    }
    let error = Error::config(format!("the module imports what no transform is given: {names}"));
    match foreign.iter().any(|name| name.starts_with("wasi")) {
        true => error.hint(
            "a transform has no files, network or clock: build for wasm32-unknown-unknown, and without the dependency \
             that asks for WASI (`cargo tree --target wasm32-unknown-unknown` lists them)",
        ),
        false => error.hint(
            "a dependency expects JavaScript or another host (often a feature of `getrandom`, `chrono` or `uuid`): \
             turn that feature off; `cargo tree --target wasm32-unknown-unknown -e features` shows who asks for it",
        ),
    }
}

/// Write beside the target and rename, so that a running host never loads half a module.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let failed = |error: std::io::Error| Error::fatal(format!("cannot write {}", path.display())).because(error);
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(directory).map_err(failed)?;
    // A module is no secret: who may read it follows from the user's umask, as for any file that a compiler writes.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    let file = tempfile::Builder::new().prefix(".module").permissions(mode).tempfile_in(directory);
    let mut file = file.map_err(failed)?;
    std::io::Write::write_all(&mut file, bytes).map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;
    use wasm_encoder::{CustomSection, EntityType, ImportSection, Module, TypeSection};

    fn module(imports: &[(&str, &str)], custom: &[&str]) -> Vec<u8> {
        let mut module = Module::new();
        let mut types = TypeSection::new();
        types.ty().function([], []);
        module.section(&types);
        let mut section = ImportSection::new();
        for (from, name) in imports {
            section.import(from, name, EntityType::Function(0));
        }
        module.section(&section);
        for name in custom {
            module.section(&CustomSection { name: (*name).into(), data: b"data".as_slice().into() });
        }
        module.finish()
    }

    fn custom_sections(module: &[u8]) -> Vec<String> {
        let payloads = Parser::new(0).parse_all(module).map(|payload| payload.expect("a module that parses"));
        payloads
            .filter_map(|payload| match payload {
                Payload::CustomSection(section) => Some(section.name().to_owned()),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn only_debug_sections_go() {
        let before = module(
            &[("wasmill:transform/log@0.1.0", "write")],
            &[".debug_info", "name", "component-type:x", ".debug_str", "wasmill", "producers"],
        );
        let after = finish(&before).expect("a module that is allowed");
        assert_eq!(custom_sections(&after), ["name", "component-type:x", "wasmill", "producers"]);
        assert_eq!(finish(&after).expect("finished twice"), after);
    }

    #[test]
    fn foreign_imports_are_refused_with_a_way_out() {
        let cases = [
            ("wasi_snapshot_preview1", "fd_write", "wasi_snapshot_preview1::fd_write", "has no files"),
            ("wasi:io/streams@0.2.0", "x", "wasi:io/streams@0.2.0::x", "has no files"),
            ("__wbindgen_placeholder__", "now", "__wbindgen_placeholder__::now", "expects JavaScript"),
        ];
        for (from, name, shown, way_out) in cases {
            let error = finish(&module(&[(from, name)], &["component-type:x"])).expect_err("a foreign import");
            assert!(error.to_string().contains(shown), "{error}");
            assert!(error.what_to_do().is_some_and(|hint| hint.contains(way_out)), "{error:?}");
        }
    }

    #[test]
    fn a_library_without_a_transform_is_refused() {
        let error = finish(&module(&[], &["name"])).expect_err("no component type");
        assert!(error.what_to_do().is_some_and(|hint| hint.contains("#[filter]")));
        assert!(finish(b"\0asm\x01\0\0\0\x07").is_err());
    }

    #[test]
    fn a_missing_target_says_what_to_install() {
        assert_eq!(Toolchain::choose(true, true).ok(), Some(Toolchain::Installed));
        assert_eq!(Toolchain::choose(false, true).ok(), Some(Toolchain::Debian));
        let error = Toolchain::choose(false, false).expect_err("nothing to build with");
        let hint = error.what_to_do().unwrap_or_default();
        assert!(hint.contains("rustup target add") && hint.contains("rustc-web"), "{hint}");
        assert!(error.source().is_none());
    }

    #[test]
    fn a_directory_without_a_package_is_refused() {
        let empty = tempfile::tempdir().expect("a directory");
        let error = build(empty.path(), None).expect_err("no Cargo.toml");
        assert!(error.to_string().contains("no Cargo.toml"), "{error}");
        let host = Path::new(env!("CARGO_MANIFEST_DIR"));
        let error = build(host, None).expect_err("the host is no module");
        assert!(error.what_to_do().is_some_and(|hint| hint.contains("cdylib")), "{error}");
    }

    #[test]
    fn a_shipped_transform_builds() {
        let out = tempfile::tempdir().expect("a directory");
        let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("../transforms/keep-plays");
        let path = out.path().join("keep.wasm");
        let built = build(&project, Some(&path)).expect("keep-plays builds");
        assert_eq!(built.name, "keep-plays");
        let module = fs::read(&built.path).expect("the module");
        assert_eq!(built.size, module.len() as u64);
        let mode =
            std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&built.path).expect("the module").permissions());
        assert_eq!(mode & 0o600, 0o600);
        fs::write(out.path().join("plain"), b"").expect("a file");
        let plain = fs::metadata(out.path().join("plain")).expect("a file").permissions();
        assert_eq!(mode, std::os::unix::fs::PermissionsExt::mode(&plain), "as readable as any other file");
        let sections = custom_sections(&module);
        assert!(["name", "wasmill"].iter().all(|name| sections.iter().any(|found| found == name)), "{sections:?}");
    }
}
