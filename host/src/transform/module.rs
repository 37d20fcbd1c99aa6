//! A module's file: what it is, what it says about itself, and whether it may run here.
//!
//! Accepts a component, or a core module that carries its component type (as every wit-bindgen guest does), which is
//! made into a component here. Refuses every import that is not one of this project's interfaces, before anything is
//! compiled. It runs no guest code.
//!
//! A guest's own component type never reaches `wit-parser`, which follows packages that depend on each other until the
//! stack is gone: a core module gets the type of our world instead, and a component's imports are read with the
//! validator of `wasmparser`, which is made for files of strangers.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use wasm_encoder::{Module as CoreModule, RawSection};
use wasmparser::component_types::{ComponentAnyTypeId, ComponentEntityType, ComponentInstanceTypeId};
use wasmparser::types::Types;
use wasmparser::{Encoding, Parser, Payload, ValidPayload, Validator, WasmFeatures};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use super::engine::hex;
use super::guest_log::{bounded, harmless, paragraph};
use super::module_cost::{self, Refusal};
use crate::error::{Error, Result};

/// Larger files are refused before they are parsed. A Python guest has 18 MB.
pub const MAX_MODULE_BYTES: usize = 64 << 20;

/// The package of `wit/transform.wit`.
const PACKAGE: &str = "wasmill:transform";

/// The contract; its world `transformer` is the type that a core module gets.
const CONTRACT: &str = include_str!("../../../wit/transform.wit");

/// What may stand before an interface in the name of a core module's import.
const CORE_PREFIXES: [&str; 2] = ["[export]", "cm32p2|"];

/// The interfaces that a guest may import.
const GRANTED: [&str; 4] = ["types", "log", "metrics", "lookup"];

/// Modules that a core module may import from. Ours are a handful.
const MAX_IMPORTED: usize = 1000;

/// The longest name or version that a module may give itself: both stand in records and dead letters.
const MAX_SELF_BYTES: usize = 100;

/// Names that one error lists.
const LISTED: usize = 20;

/// The longest text of an error, which may repeat what stands in the module.
const MAX_ERROR_BYTES: usize = 2000;

/// How the sections with a core module's component type begin.
const TYPE_SECTION: &str = "component-type";

/// What to do about a foreign import.
const BUILD_HINT: &str = "build for wasm32-unknown-unknown, which has no WASI (`wasmill transform build` does); \
                          for Python: componentize-py --stub-wasi; for JavaScript: jco with all WASI features disabled";

/// What a module is and says about itself. None of it comes from running it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ModuleInfo {
    /// Its own name, from its custom section `wasmill`; empty when it has none.
    pub name: String,
    /// Its own version, from the same section; empty when it has none.
    pub version: String,
    /// The version of the interface it was built against, as `0.1.0`.
    pub wit_version: String,
    /// Core module or component.
    pub kind: ModuleKind,
    /// Bytes of the file.
    pub size: usize,
    /// Of the file, in lower-case hexadecimal digits.
    pub sha256: String,
    /// Interfaces it imports, as `wasmill:transform/log@0.1.0`.
    pub imports: Vec<String>,
    /// Interfaces and functions it exports. Extra ones are allowed and never called.
    pub exports: Vec<String>,
}

/// How a module was packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ModuleKind {
    /// A core module with a component type section.
    CoreModule,
    /// A component.
    Component,
}

/// A module's file, checked, as a component.
pub(crate) struct ModuleFile {
    pub(crate) info: ModuleInfo,
    /// The component's bytes: the file itself, or what was made of the core module.
    pub(crate) component: Vec<u8>,
}

/// The custom section `wasmill`, a JSON object. Unknown keys are left to later versions.
#[derive(Default, Deserialize)]
struct Signature {
    #[serde(default)]
    name: String,
    #[serde(default)]
    version: String,
}

impl Signature {
    fn read(section: &[u8]) -> Result<Self> {
        let wrong = |what: &str| Error::config(format!("the module's custom section `wasmill` is not valid: {what}"));
        let signature: Self =
            serde_json::from_slice(section).map_err(|error| wrong(&paragraph(&error.to_string(), MAX_ERROR_BYTES)))?;
        // Both go where a terminal, a file name or a metric's label may be made of them.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'+');
        for (what, text) in [("name", &signature.name), ("version", &signature.version)] {
            if text.len() > MAX_SELF_BYTES || !text.bytes().all(plain) {
                return Err(wrong(&format!(
                    "the {what} `{}` must be at most {MAX_SELF_BYTES} letters, digits, `-`, `_`, `.` and `+`",
                    bounded(text, MAX_SELF_BYTES)
                )));
            }
        }
        Ok(signature)
    }
}

impl ModuleFile {
    /// Checks `bytes`. Every error is of kind `Config`.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        guarded(|| Self::take_apart(bytes))
    }

    fn take_apart(bytes: &[u8]) -> Result<Self> {
        if bytes.len() > MAX_MODULE_BYTES {
            return Err(Error::config(format!(
                "the module has {} bytes, and at most {MAX_MODULE_BYTES} are allowed",
                bytes.len()
            )));
        }
        let outline = Outline::read(bytes)?;
        module_cost::check(bytes).map_err(|refusal| match refusal {
            Refusal::Damaged(error) => damaged(&error),
            Refusal::TooLarge(text) => Error::config(format!("the module {text}")).hint(
                "an honest module stays far below this; build with optimisation, as `wasmill transform build` does",
            ),
        })?;
        let component = match outline.kind {
            ModuleKind::Component => bytes.to_vec(),
            ModuleKind::CoreModule => componentize(bytes, &outline)?,
        };
        let (imports, exports) = interfaces(&component)?;
        let wit_version = exports.iter().find_map(|name| our_interface(name, "transform")).ok_or_else(|| {
            Error::config(format!("the module does not export {PACKAGE}/transform; it exports {}", listed(&exports)))
                .hint("a transform exports the interface `transform` of wit/transform.wit; the SDK's macros do it")
        })?;
        let info = ModuleInfo {
            name: outline.signature.name,
            version: outline.signature.version,
            wit_version: wit_version.to_owned(),
            kind: outline.kind,
            size: bytes.len(),
            sha256: hex(&Sha256::digest(bytes)),
            imports,
            exports,
        };
        Ok(Self { info, component })
    }
}

/// The last resort, should a module be stranger than the tools expect that take it apart: their panic is its refusal.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        Err(Error::config("the module made the compiler fail").hint("build it again, with another toolchain"))
    })
}

/// What a pass over the file's sections shows.
struct Outline {
    kind: ModuleKind,
    signature: Signature,
    /// Import modules of the outermost core module.
    core_imports: BTreeSet<String>,
    /// Whether it carries its component type.
    typed: bool,
}

impl Outline {
    fn read(bytes: &[u8]) -> Result<Self> {
        if !bytes.starts_with(b"\0asm") {
            return Err(Error::config("the file is not a WebAssembly module (it does not begin with \\0asm)")
                .hint("give the .wasm file that `wasmill transform build` writes"));
        }
        let mut outline = Self {
            kind: ModuleKind::CoreModule,
            signature: Signature::default(),
            core_imports: BTreeSet::new(),
            typed: false,
        };
        let mut depth = 0_usize;
        let mut signed = false;
        for payload in Parser::new(0).parse_all(bytes) {
            match payload.map_err(|error| damaged(&error))? {
                Payload::Version { encoding, .. } => {
                    if depth == 0 && encoding == Encoding::Component {
                        outline.kind = ModuleKind::Component;
                    }
                    depth += 1;
                }
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ImportSection(section) if depth == 1 => {
                    for import in section.into_imports() {
                        outline.core_imports.insert(import.map_err(|error| damaged(&error))?.module.to_owned());
                        if outline.core_imports.len() > MAX_IMPORTED {
                            return Err(Error::config(format!(
                                "the module imports from more than {MAX_IMPORTED} other modules"
                            ))
                            .hint(BUILD_HINT));
                        }
                    }
                }
                Payload::CustomSection(section) if section.name() == "wasmill" && !signed => {
                    outline.signature = Signature::read(section.data())?;
                    signed = true;
                }
                Payload::CustomSection(section) if section.name().starts_with(TYPE_SECTION) => {
                    outline.typed = true;
                }
                _ => {}
            }
        }
        Ok(outline)
    }
}

/// Makes a component of a core module.
fn componentize(module: &[u8], outline: &Outline) -> Result<Vec<u8>> {
    // The encoder gives a meaning to other names too, such as that of a module that it is to be linked with.
    let ours = |module: &&String| {
        let rest = CORE_PREFIXES.iter().find_map(|prefix| module.strip_prefix(prefix)).unwrap_or(module);
        rest.strip_prefix(PACKAGE).is_some_and(|rest| rest.starts_with('/'))
    };
    let foreign: Vec<_> = outline.core_imports.iter().filter(|module| !ours(module)).cloned().collect();
    if !foreign.is_empty() {
        return Err(foreign_imports(&foreign));
    }
    if !outline.typed {
        return Err(Error::config("the module is plain WebAssembly without a component type")
            .hint("build it with the wasmill SDK or with wit-bindgen against wit/transform.wit"));
    }
    let refused = |error: &dyn std::fmt::Display| {
        let text = paragraph(&error.to_string(), MAX_ERROR_BYTES);
        Error::config(format!("the module cannot be made into a component: {text}"))
            .hint("build it against the transform.wit of this version of wasmill")
    };
    Validator::new().validate_all(module).map_err(|error| refused(&error))?;
    let encode = || ComponentEncoder::default().validate(true).module(&with_our_type(module)?)?.encode();
    encode().map_err(|error: anyhow::Error| refused(&format!("{error:#}")))
}

/// The module with the component type of our world in place of those it came with.
fn with_our_type(module: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut kept = CoreModule::new();
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload?;
        if matches!(&payload, Payload::CustomSection(section) if section.name().starts_with(TYPE_SECTION)) {
            continue;
        }
        if let Some((id, range)) = payload.as_section() {
            kept.section(&RawSection { id, data: &module[range] });
        }
    }
    let mut resolve = Resolve::default();
    let package = resolve.push_str("transform.wit", CONTRACT)?;
    let world = resolve.select_world(&[package], Some("transformer"))?;
    let mut module = kept.finish();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    Ok(module)
}

/// The component's imports and exports by name; refuses imports that nobody here grants.
fn interfaces(component: &[u8]) -> Result<(Vec<String>, Vec<String>)> {
    let (types, imports, exports) = outer_names(component).map_err(|error| {
        Error::config(format!("the component cannot be read: {}", paragraph(&error.to_string(), MAX_ERROR_BYTES)))
    })?;
    let granted = |name: &String| match types.component_item_for_import(name).map(|item| item.ty) {
        Some(ComponentEntityType::Instance(id)) => {
            GRANTED.iter().any(|granted| our_interface(name, granted).is_some()) || only_types(&types, id)
        }
        Some(ComponentEntityType::Type { created, .. }) => !matches!(created, ComponentAnyTypeId::Resource(_)),
        _ => false,
    };
    let (imports, foreign): (Vec<_>, Vec<_>) = imports.into_iter().partition(granted);
    if foreign.is_empty() { Ok((imports, exports)) } else { Err(foreign_imports(&foreign)) }
}

/// The names that the outermost component imports and exports, and their types.
fn outer_names(component: &[u8]) -> anyhow::Result<(Types, Vec<String>, Vec<String>)> {
    // All features: what this engine lacks is refused when it compiles, and said by it.
    let mut validator = Validator::new_with_features(WasmFeatures::all());
    let (mut imports, mut exports) = (Vec::new(), Vec::new());
    let mut depth = 0_usize;
    let mut types = None;
    for payload in Parser::new(0).parse_all(component) {
        let payload = payload?;
        match &payload {
            Payload::Version { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section.clone() {
                    imports.push(import?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 1 => {
                for export in section.clone() {
                    exports.push(export?.name.name.to_owned());
                }
            }
            _ => {}
        }
        if let ValidPayload::End(outer) = validator.payload(&payload)? {
            types = Some(outer);
        }
    }
    let types = types.ok_or_else(|| anyhow::anyhow!("it has no end"))?;
    Ok((types, imports, exports))
}

/// Importing types alone grants nothing. A resource brings functions with it.
fn only_types(types: &Types, id: ComponentInstanceTypeId) -> bool {
    let plain = |ty: &ComponentEntityType| matches!(ty, ComponentEntityType::Type { created, .. } if !matches!(created, ComponentAnyTypeId::Resource(_)));
    types[id].exports.values().all(|item| plain(&item.ty))
}

/// The version in `name`, when it names `interface` of our package.
fn our_interface<'a>(name: &'a str, interface: &str) -> Option<&'a str> {
    let rest = name.strip_prefix(PACKAGE)?.strip_prefix('/')?.strip_prefix(interface)?;
    if rest.is_empty() { Some("") } else { rest.strip_prefix('@') }
}

fn foreign_imports(names: &[String]) -> Error {
    Error::config(format!("the module imports what wasmill does not grant: {}", listed(names))).hint(BUILD_HINT)
}

fn damaged(error: &dyn std::fmt::Display) -> Error {
    let text = paragraph(&error.to_string(), MAX_ERROR_BYTES);
    Error::config(format!("the module is damaged or cut short: {text}")).hint("build or copy it again")
}

fn listed(names: &[String]) -> String {
    if names.is_empty() {
        return "nothing".to_owned();
    }
    let shown: Vec<_> = names.iter().take(LISTED).map(|name| harmless(name)).collect();
    let more = names.len().saturating_sub(LISTED);
    if more > 0 { format!("{} and {more} more", shown.join(", ")) } else { shown.join(", ") }
}
