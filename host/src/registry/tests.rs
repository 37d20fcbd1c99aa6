//! The registry on a local disk.

use super::*;
use crate::error::ErrorKind;
use crate::runtime::TokioRuntime;
use crate::storage::{self, StorageOptions};
use crate::transform::ModuleKind;

fn registry(directory: &std::path::Path) -> Registry {
    let location = storage::open(directory.to_str().unwrap(), &StorageOptions::default()).unwrap();
    Registry::new(location, Arc::new(TokioRuntime::new(tokio::runtime::Handle::current())), Vec::new())
}

fn info(module: &[u8]) -> ModuleInfo {
    ModuleInfo {
        name: "keep".into(),
        version: "1.0.0".into(),
        wit_version: "0.1.0".into(),
        kind: ModuleKind::Component,
        size: module.len(),
        sha256: hex(&Sha256::digest(module)),
        imports: Vec::new(),
        exports: Vec::new(),
    }
}

async fn push(registry: &Registry, module: &'static [u8], name: &str, version: &str) -> Result<Pushed> {
    let version = parse_version(version)?;
    registry.push(Bytes::from_static(module), &info(module), (name, version), None, "ann@here").await
}

fn reference(text: &str) -> Reference {
    text.parse().unwrap()
}

#[tokio::test]
async fn a_version_never_changes() {
    let directory = tempfile::tempdir().unwrap();
    let registry = registry(directory.path());
    assert!(matches!(push(&registry, b"one", "keep", "1.0.0").await, Ok(Pushed::New(_))));
    assert!(matches!(push(&registry, b"one", "keep", "1.0.0").await, Ok(Pushed::AlreadyThere(_))));
    let error = push(&registry, b"two", "keep", "1.0.0").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("other bytes") && error.to_string().contains("ann@here"), "{error}");
    let release = registry.find(&reference("keep@1.0.0")).await.unwrap();
    assert_eq!(registry.module(&release.sha256).await.unwrap(), b"one".as_slice());
}

#[tokio::test]
async fn what_a_push_would_come_to_is_told_and_nothing_is_stored() {
    let directory = tempfile::tempdir().unwrap();
    let registry = registry(directory.path());
    let would = async |module: &'static [u8], name: &str| {
        let version = parse_version("1.0.0").unwrap();
        registry.would_push(&Bytes::from_static(module), &info(module), (name, version), None, "bob@here").await
    };
    assert!(matches!(would(b"one", "keep").await, Ok(Pushed::New(_))));
    assert!(std::fs::read_dir(directory.path()).unwrap().next().is_none(), "nothing is stored");
    push(&registry, b"one", "keep", "1.0.0").await.unwrap();
    let Pushed::AlreadyThere(release) = would(b"one", "keep").await.unwrap() else { panic!("it is there") };
    assert_eq!(release.pushed_by, "ann@here");
    assert!(would(b"two", "keep").await.unwrap_err().to_string().contains("other bytes"));
    assert!(would(b"two", "../keep").await.is_err(), "no name");
}

#[tokio::test]
async fn a_push_deletes_what_crashed_ones_left_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let registry = registry(directory.path());
    let modules = directory.path().join("modules");
    std::fs::create_dir_all(&modules).unwrap();
    let two_days_ago = std::time::SystemTime::now() - 2 * LEFTOVER_AFTER;
    for (name, is_old) in [("_a.wasm-1.tmp", true), ("_b.wasm-2.tmp", false), ("c.wasm", true)] {
        let file = std::fs::File::create(modules.join(name)).unwrap();
        if is_old {
            file.set_modified(two_days_ago).unwrap();
        }
    }
    push(&registry, b"one", "keep", "1.0.0").await.unwrap();
    let left = |name: &str| modules.join(name).exists();
    assert_eq!((left("_a.wasm-1.tmp"), left("_b.wasm-2.tmp"), left("c.wasm")), (false, true, true));
}

#[tokio::test]
async fn what_is_stored_is_what_was_looked_at() {
    let directory = tempfile::tempdir().unwrap();
    let registry = registry(directory.path());
    let version = parse_version("1.0.0").unwrap();
    let swapped = registry.push(Bytes::from_static(b"two"), &info(b"one"), ("keep", version), None, "ann@here").await;
    assert!(swapped.unwrap_err().to_string().contains("changed while it was looked at"));
    assert!(registry.list().await.unwrap().is_empty());
}

#[tokio::test]
async fn of_many_that_push_a_version_at_once_one_wins_and_the_others_are_told() {
    let directory = tempfile::tempdir().unwrap();
    let registry = registry(directory.path());
    let modules: [&'static [u8]; 6] = [b"a", b"b", b"c", b"d", b"e", b"f"];
    let pushes = modules.iter().map(|module| push(&registry, module, "keep", "1.0.0"));
    let outcomes = futures::future::join_all(pushes).await;
    let release = registry.find(&reference("keep@1.0.0")).await.unwrap();
    for (module, outcome) in modules.iter().zip(outcomes) {
        let is_winner = hex(&Sha256::digest(module)) == release.sha256;
        match outcome {
            Ok(Pushed::New(_)) => assert!(is_winner),
            Ok(Pushed::AlreadyThere(_)) => panic!("other bytes are not the same"),
            Err(error) => assert!(!is_winner && error.to_string().contains("other bytes"), "{error}"),
        }
    }
}

#[tokio::test]
async fn without_a_version_the_newest_is_meant() {
    let directory = tempfile::tempdir().unwrap();
    let registry = registry(directory.path());
    for version in ["1.9.0", "1.10.0", "2.0.0-rc.1", "0.1.0"] {
        push(&registry, b"one", "keep", version).await.unwrap();
    }
    let found = registry.find(&reference("keep")).await.unwrap();
    assert_eq!(found.version.to_string(), "1.10.0", "a pre-release is deployed only by name");
    registry.withdraw("keep", &found.version, "ann@here", "wrong").await.unwrap();
    assert_eq!(registry.find(&reference("keep")).await.unwrap().version.to_string(), "1.9.0");
    let all: Vec<_> = registry.list().await.unwrap().iter().map(|l| l.release.version.to_string()).collect();
    assert_eq!(all, ["0.1.0", "1.9.0", "1.10.0", "2.0.0-rc.1"]);
}

#[tokio::test]
async fn what_was_withdrawn_is_refused_and_never_free_again() {
    let directory = tempfile::tempdir().unwrap();
    let registry = registry(directory.path());
    push(&registry, b"one", "keep", "1.0.0").await.unwrap();
    let version = parse_version("1.0.0").unwrap();
    registry.withdraw("keep", &version, "ann@here", "drops half").await.unwrap();
    for error in [
        registry.find(&reference("keep@1.0.0")).await.unwrap_err(),
        registry.withdraw("keep", &version, "bob@there", "").await.unwrap_err(),
        push(&registry, b"one", "keep", "1.0.0").await.unwrap_err(),
        push(&registry, b"two", "keep", "1.0.0").await.unwrap_err(),
    ] {
        assert!(error.to_string().contains("withdrawn") && error.to_string().contains("drops half"), "{error}");
    }
    let module = registry.module(&hex(&Sha256::digest(b"one"))).await;
    assert_eq!(module.unwrap(), b"one".as_slice(), "a rollback may need it");
}

#[tokio::test]
async fn what_is_missing_or_damaged_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let registry = registry(directory.path());
    let error = registry.find(&reference("kepe")).await.unwrap_err();
    assert!(error.what_to_do().unwrap().contains("push"), "{error:?}");
    push(&registry, b"one", "keep", "1.0.0").await.unwrap();
    let error = registry.find(&reference("kepe")).await.unwrap_err();
    assert!(error.what_to_do().unwrap().contains("did you mean keep"), "{error:?}");
    let error = registry.find(&reference("keep@3.0.0")).await.unwrap_err();
    assert!(error.what_to_do().unwrap().contains("1.0.0"), "{error:?}");
    let hash = hex(&Sha256::digest(b"one"));
    let path = directory.path().join(format!("modules/{hash}.wasm"));
    std::fs::write(&path, b"two").unwrap();
    assert!(registry.module(&hash).await.unwrap_err().to_string().contains("damaged"));
    std::fs::remove_file(&path).unwrap();
    assert!(registry.module(&hash).await.unwrap_err().to_string().contains("missing"));
}

#[test]
fn references_are_names_and_versions() {
    for (text, name, version) in [
        ("keep", "keep", None),
        ("keep@1.2.3", "keep", Some("1.2.3")),
        ("a.b_c-1@0.1.0-rc.2", "a.b_c-1", Some("0.1.0-rc.2")),
    ] {
        let parsed = reference(text);
        assert_eq!((parsed.name.as_str(), parsed.version.map(|v| v.to_string()).as_deref()), (name, version));
        assert_eq!(reference(text).to_string(), text);
    }
    for wrong in ["", "@1.0.0", "keep@", "keep@1", "keep@1.0.0+build", "../up@1.0.0", "a/b", ".hidden", "a\nb"] {
        assert!(wrong.parse::<Reference>().is_err(), "{wrong:?}");
    }
}

#[tokio::test]
async fn a_pipeline_that_trusts_keys_takes_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let anybody = registry(directory.path());
    let key = signature::SecretKey::generate();
    let careful = Registry { keys: vec![key.public()], ..anybody.clone() };
    let version = parse_version("1.0.0").unwrap();
    let hash = hex(&Sha256::digest(b"one"));
    let vouched = key.sign(&Statement { name: "keep", version: &version, sha256: &hash });
    let module = info(b"one");
    let with =
        |signature| careful.push(Bytes::from_static(b"one"), &module, ("keep", version.clone()), signature, "ann@here");
    assert!(with(None).await.unwrap_err().to_string().contains("not signed"));
    assert!(matches!(with(Some(vouched)).await, Ok(Pushed::New(_))));
    assert_eq!(careful.module_of("keep", &version, &hash).await.unwrap(), b"one".as_slice());
    // What somebody else put into the same registry is not run.
    push(&anybody, b"two", "keep", "1.1.0").await.unwrap();
    let (newer, hash) = (parse_version("1.1.0").unwrap(), hex(&Sha256::digest(b"two")));
    assert!(careful.module_of("keep", &newer, &hash).await.is_err());
    assert!(careful.module_of("keep", &version, &hash).await.is_err(), "an old signature is not of new bytes");
    assert!(anybody.module_of("keep", &newer, &hash).await.is_ok());
}
