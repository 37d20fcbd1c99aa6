//! A module's file: what it is, what it says about itself, and whether it may run here.
//!
//! Accepts a component, or a core module that carries its component type (as every wit-bindgen guest does), which is
//! made into a component here. Refuses every import that is not one of this project's interfaces, before anything is
//! compiled. It runs no guest code.
//!
//! A guest's own component type never reaches `wit-parser`, which follows packages that depend on each other until the
//! stack is gone: a core module gets the type of our world instead, and a component's imports are read with the
//! validator of `wasmparser`, which is made for files of strangers.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use wasm_encoder::{Module as CoreModule, RawSection};
use wasmparser::component_types::{ComponentAnyTypeId, ComponentEntityType, ComponentInstanceTypeId};
use wasmparser::types::Types;
use wasmparser::{Encoding, Parser, Payload, ValidPayload, Validator, WasmFeatures};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use super::engine::hex;
use crate::error::{Error, Result};

/// Larger files are refused before they are parsed. A Python guest has 18 MB.
const MAX_MODULE_BYTES: usize = 64 << 20;

/// The package of `wit/transform.wit`.
const PACKAGE: &str = "wasmill:transform";

/// The contract; its world `transformer` is the type that a core module gets.
const CONTRACT: &str = include_str!("../../../wit/transform.wit");

/// The interfaces that a guest may import.
const GRANTED: [&str; 4] = ["types", "log", "metrics", "lookup"];

/// How the sections with a core module's component type begin.
const TYPE_SECTION: &str = "component-type";

/// What to do about a foreign import.
const BUILD_HINT: &str = "build for wasm32-unknown-unknown, which has no WASI (`wasmill transform build` does); \
                          for Python: componentize-py --stub-wasi; for JavaScript: jco with all WASI features disabled";

/// What a module is and says about itself. None of it comes from running it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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

impl ModuleFile {
    /// Checks `bytes`. Every error is of kind `Config`.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        if bytes.len() > MAX_MODULE_BYTES {
            return Err(Error::config(format!(
                "the module has {} bytes, and at most {MAX_MODULE_BYTES} are allowed",
                bytes.len()
            )));
        }
        let outline = Outline::read(bytes)?;
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

/// What a pass over the file's sections shows.
struct Outline {
    kind: ModuleKind,
    signature: Signature,
    /// Import modules of the outermost core module.
    core_imports: Vec<String>,
    /// Whether it carries its component type.
    typed: bool,
}

impl Outline {
    fn read(bytes: &[u8]) -> Result<Self> {
        if !bytes.starts_with(b"\0asm") {
            return Err(Error::config("the file is not a WebAssembly module (it does not begin with \\0asm)")
                .hint("give the .wasm file that `wasmill transform build` writes"));
        }
        let broken = |error: &dyn std::fmt::Display| {
            Error::config(format!("the module is damaged or cut short: {error}")).hint("build or copy it again")
        };
        let mut outline =
            Self { kind: ModuleKind::CoreModule, signature: Signature::default(), core_imports: vec![], typed: false };
        let mut depth = 0_usize;
        let mut signed = false;
        for payload in Parser::new(0).parse_all(bytes) {
            match payload.map_err(|error| broken(&error))? {
                Payload::Version { encoding, .. } => {
                    if depth == 0 && encoding == Encoding::Component {
                        outline.kind = ModuleKind::Component;
                    }
                    depth += 1;
                }
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ImportSection(section) if depth == 1 => {
                    for import in section.into_imports() {
                        let module = import.map_err(|error| broken(&error))?.module.to_owned();
                        if !outline.core_imports.contains(&module) {
                            outline.core_imports.push(module);
                        }
                    }
                }
                Payload::CustomSection(section) if section.name() == "wasmill" && !signed => {
                    outline.signature = serde_json::from_slice(section.data()).map_err(|error| {
                        Error::config(format!("the module's custom section `wasmill` is not valid: {error}"))
                    })?;
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
    let foreign: Vec<_> = outline.core_imports.iter().filter(|module| module.starts_with("wasi")).cloned().collect();
    if !foreign.is_empty() {
        return Err(foreign_imports(&foreign));
    }
    if !outline.typed {
        return Err(Error::config("the module is plain WebAssembly without a component type")
            .hint("build it with the wasmill SDK or with wit-bindgen against wit/transform.wit"));
    }
    let refused = |error: &dyn std::fmt::Display| {
        Error::config(format!("the module cannot be made into a component: {error}"))
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
    let (types, imports, exports) =
        outer_names(component).map_err(|error| Error::config(format!("the component cannot be read: {error}")))?;
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

fn listed(names: &[String]) -> String {
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}
