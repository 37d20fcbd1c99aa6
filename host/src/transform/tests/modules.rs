//! Files that are no module, and modules that may not run here.

use std::os::unix::fs::PermissionsExt;
use std::{fs, path::Path};

use proptest::prelude::*;

use super::guest::Guest;
use super::*;
use crate::error::ErrorKind;

#[track_caller]
fn refused(bytes: &[u8], expected: &[&str]) {
    let error = TransformEngine::new(None).unwrap().load(bytes).err().expect("the module must be refused");
    assert_eq!(error.kind(), ErrorKind::Config);
    let text = format!("{error} {}", error.what_to_do().unwrap_or_default());
    for part in expected {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
}

#[test]
fn what_is_no_transform_is_refused_with_what_to_do() {
    refused(b"", &["not a WebAssembly module"]);
    refused(b"fn main() {}", &["not a WebAssembly module", "wasmill transform build"]);
    refused(&wat::parse_str("(module)").unwrap(), &["without a component type", "SDK"]);
    refused(&wat::parse_str("(component)").unwrap(), &["does not export wasmill:transform/transform"]);
    refused(&vec![0; (64 << 20) + 1], &["at most"]);
}

#[test]
fn foreign_imports_are_named() {
    let core = r#"(module (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32))))"#;
    refused(&wat::parse_str(core).unwrap(), &["wasi_snapshot_preview1", "wasm32-unknown-unknown"]);
    let component = r#"(component
        (import "wasi:cli/environment@0.2.0" (instance (export "get" (func))))
        (import "wasi:random/random@0.2.0" (instance (export "get" (func)))))"#;
    refused(&wat::parse_str(component).unwrap(), &["wasi:cli/environment@0.2.0", "wasi:random/random@0.2.0"]);
}

#[test]
fn importing_types_alone_is_no_offence() {
    let component = r#"(component
        (import "acme:money/types@1.0.0" (instance (type (record (field "cents" u32))) (export "price" (type (eq 0))))))"#;
    refused(&wat::parse_str(component).unwrap(), &["does not export wasmill:transform/transform"]);
}

/// Imports of two packages that depend on each other, though none of their interfaces does: reading them with
/// `wit-parser` 0.254 overflows the stack, which nothing can catch.
const PACKAGES_IN_A_CIRCLE: &str = r#"
    (type (instance (type (record (field "n" u32))) (export "t" (type (eq 0)))))
    (import "x:a/l" (instance (type 0)))
    (alias export 0 "t" (type))
    (type (instance (alias outer 1 1 (type)) (export "t" (type (eq 0)))))
    (import "x:b/k" (instance (type 2)))
    (type (instance (type (record (field "n" u32))) (export "t" (type (eq 0)))))
    (import "x:b/j" (instance (type 3)))
    (alias export 2 "t" (type))
    (type (instance (alias outer 1 4 (type)) (export "t" (type (eq 0)))))
    (import "x:a/i" (instance (type 5)))"#;

#[test]
fn packages_that_depend_on_each_other_harm_nobody() {
    let component = wat::parse_str(format!("(component {PACKAGES_IN_A_CIRCLE})")).unwrap();
    refused(&component, &["does not export wasmill:transform/transform"]);
    // The same as the component type of a core module: it is never read, and the module runs by our world's type.
    let world = format!(
        r#"(component
            (@custom "wit-component-encoding" "\04\00")
            (type (component (type (component {PACKAGES_IN_A_CIRCLE})) (export "x:w/w" (component (type 0)))))
            (export "w" (type 0)))"#
    );
    let own_type = wat::parse_str(world).unwrap();
    let mut module = Guest::new().build();
    let section = wasm_encoder::CustomSection { name: "component-type:w".into(), data: own_type.into() };
    module.push(wasm_encoder::Section::id(&section));
    wasm_encoder::Encode::encode(&section, &mut module);
    let info = TransformEngine::new(None).unwrap().load(&module).unwrap().info;
    assert!(info.imports.iter().all(|import| import.starts_with("wasmill:transform/")), "{:?}", info.imports);
}

#[test]
fn a_module_says_what_it_is() {
    let mut module = Guest::new().build();
    let signature = br#"{"name":"plays","version":"1.2.3","wit":"0.1.0","later":true}"#;
    module.extend([0, (8 + signature.len()) as u8, 7]);
    module.extend(b"wasmill");
    module.extend(signature);
    let info = TransformEngine::new(None).unwrap().load(&module).unwrap().info;
    assert_eq!((info.name.as_str(), info.version.as_str(), info.wit_version.as_str()), ("plays", "1.2.3", "0.1.0"));
    assert_eq!((info.size, info.sha256.len()), (module.len(), 64));
}

#[test]
fn compiled_code_is_kept_read_again_and_made_anew_when_damaged() {
    let directory = tempfile::tempdir().unwrap();
    let cache = directory.path().join("compiled");
    let module = Guest::new().build();
    let load = || TransformEngine::new(Some(&cache)).unwrap().load(&module).map(drop).unwrap();
    let files = |path: &Path| fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    load();
    let [file] = &files(&cache)[..] else { panic!("{:?}", files(&cache)) };
    assert_eq!(fs::metadata(&cache).unwrap().permissions().mode() & 0o777, 0o700);
    let written = fs::metadata(file).unwrap().modified().unwrap();
    load();
    assert_eq!(fs::metadata(file).unwrap().modified().unwrap(), written, "it was read, not written again");
    let whole = fs::read(file).unwrap();
    for damaged in [whole[..whole.len() / 2].to_vec(), Vec::new(), [&whole[..40], &[!whole[40]], &whole[41..]].concat()]
    {
        fs::write(file, damaged).unwrap();
        load();
        assert!(fs::read(file).unwrap() == whole, "damaged code is made anew");
    }
}

#[test]
fn a_cache_that_others_may_enter_is_not_used() {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    TransformEngine::new(Some(directory.path())).unwrap().load(&Guest::new().build()).unwrap();
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn a_module_cut_anywhere_is_refused() {
    let module = Guest::new().build();
    let engine = TransformEngine::new(None).unwrap();
    for end in (0..module.len()).step_by(61) {
        // A cut between two sections may leave something whole, but never a transform.
        assert!(engine.load(&module[..end]).is_err(), "cut after {end} of {} bytes", module.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_module_with_changed_bytes_never_panics(changes in prop::collection::vec((any::<u32>(), any::<u8>()), 1..8)) {
        let mut module = Guest::new().build();
        for (at, byte) in changes {
            let at = at as usize % module.len();
            module[at] = byte;
        }
        if let Ok(chain) = link(&[(config("changed"), module)], events_schema())
            && let Ok(mut instance) = chain.instantiate()
        {
            let _ = run(&mut instance, 3);
        }
    }
}
