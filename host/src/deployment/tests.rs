//! Requests, differences and the log, without any module.

use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::difference::{ColumnChange, Difference, TransformChange};
use super::judge::Bounds;
use super::*;
use crate::registry::{Registry, parse_version};
use crate::runtime::TokioRuntime;
use crate::storage::{self, StorageOptions};
use crate::transform::{ModuleInfo, ModuleKind, hex};

fn registry(directory: &std::path::Path) -> Registry {
    let location = storage::open(directory.to_str().unwrap(), &StorageOptions::default()).unwrap();
    Registry::new(location, Arc::new(TokioRuntime::new(tokio::runtime::Handle::current())), Vec::new())
}

async fn pushed(directory: &std::path::Path, releases: &[(&str, &str)]) -> Registry {
    let registry = registry(directory);
    for (name, version) in releases {
        let bytes = Bytes::from(format!("{name} {version}"));
        let info = ModuleInfo {
            name: (*name).into(),
            version: (*version).into(),
            wit_version: "0.1.0".into(),
            kind: ModuleKind::Component,
            size: bytes.len(),
            sha256: hex(&Sha256::digest(&bytes)),
            imports: Vec::new(),
            exports: Vec::new(),
        };
        registry.push(bytes, &info, (name, parse_version(version).unwrap()), None, "ann@here").await.unwrap();
    }
    registry
}

fn request(transforms: &[&str]) -> Request {
    Request { transforms: transforms.iter().map(|text| text.parse().unwrap()).collect(), ..Request::default() }
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn deployment(transforms: Vec<Deployed>, columns: &[(&str, &str, bool)]) -> Deployment {
    let column = |(name, kind, nullable): &(&str, &str, bool)| Column {
        name: (*name).into(),
        r#type: (*kind).into(),
        nullable: *nullable,
    };
    Deployment { number: 0, transforms, columns: columns.iter().map(column).collect() }
}

#[tokio::test]
async fn a_request_is_put_over_what_runs() {
    let directory = tempfile::tempdir().unwrap();
    let registry = pushed(directory.path(), &[("keep", "1.0.0"), ("keep", "1.1.0"), ("geo.us", "2.0.0")]).await;
    let mut first = request(&["keep@1.0.0", "geo.us"]);
    first.set = strings(&["keep.min_seconds=30", "geo.us.zone=west", "geo.us.api_key=env:KEY"]);
    first.limits = strings(&["keep.memory=8MiB", "keep.deadline=50ms"]);
    first.on_failure = strings(&["geo.us=stop"]);
    let first = first.transforms(&registry, None).await.unwrap();
    assert_eq!(first[0].settings["min_seconds"], Setting::Value("30".into()));
    assert_eq!((first[0].limits.memory_bytes, first[0].limits.deadline_ms), (Some(8 << 20), Some(50)));
    assert_eq!(first[1].settings["api_key"], Setting::Env { env: "KEY".into() });
    assert_eq!((first[1].on_failure, first[0].on_failure), (FailurePolicy::Stop, FailurePolicy::DeadLetter));

    let present = deployment(first, &[]);
    let mut second = request(&["geo.us", "keep", "late=keep@1.0.0"]);
    second.set = strings(&["geo.us.zone=east"]);
    second.unset = strings(&["keep.min_seconds"]);
    let second = second.transforms(&registry, Some(&present)).await.unwrap();
    let names: Vec<_> = second.iter().map(|one| format!("{}={}", one.name, one.reference())).collect();
    assert_eq!(names, ["geo.us=geo.us@2.0.0", "keep=keep@1.1.0", "late=keep@1.0.0"]);
    assert_eq!(second[0].settings.len(), 2, "the key is kept");
    assert_eq!(second[0].settings["zone"], Setting::Value("east".into()));
    assert!(second[1].settings.is_empty() && second[2].settings.is_empty());
    assert_eq!(second[1].limits, present.transforms[0].limits, "limits are kept");
}

#[tokio::test]
async fn wrong_requests_say_what_is_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let registry = pushed(directory.path(), &[("keep", "1.0.0")]).await;
    let with = |change: fn(&mut Request)| {
        let mut wrong = request(&["keep"]);
        change(&mut wrong);
        wrong
    };
    for (wrong, part) in [
        (request(&["keep", "keep@1.0.0"]), "twice"),
        (request(&["other"]), "never pushed"),
        (with(|r| r.set = strings(&["keep"])), "wanted TRANSFORM.SETTING=VALUE"),
        (with(|r| r.set = strings(&["kep.x=1"])), "no transform"),
        (with(|r| r.set = strings(&["keep.api_key=hunter2"])), "is a secret by its name"),
        (with(|r| r.set = strings(&["keep.salt=file:here"])), "is relative"),
        (with(|r| r.unset = strings(&["keep.x"])), "no such setting"),
        (with(|r| r.limits = strings(&["keep.memory=1"])), "a size like"),
        (with(|r| r.limits = strings(&["keep.cpu=1"])), "one of the limits"),
        (with(|r| r.limits = strings(&["keep.deadline=1h"])), "a duration like"),
        (with(|r| r.on_failure = strings(&["keep=ignore"])), "no failure policy"),
    ] {
        let error = wrong.transforms(&registry, None).await.unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}

fn draft() -> Draft {
    Draft { action: Action::Deploy, deployment: deployment(vec![], &[]), canary: None, paused: false }
}

#[tokio::test]
async fn a_canary_keeps_its_number_when_it_is_promoted() {
    let directory = tempfile::tempdir().unwrap();
    let log = Log::new(registry(directory.path()), "plays");
    let first = log.append(None, draft(), "ann@here", "").await.unwrap();
    let topic_partitions = [TopicPartition::new("a/b", 3)].into_iter().collect();
    let deployment = deployment(vec![], &[("x", "int", true)]);
    let canary = Canary { deployment, topic_partitions, bounds: Bounds::default() };
    let trial = Draft { canary: Some(canary), ..Draft::after(&first, Action::Canary) };
    let trial = log.append(Some(&first), trial, "ann@here", "").await.unwrap();
    let canary = trial.canary.clone().unwrap();
    assert_eq!((trial.deployment.number, canary.deployment.number), (1, 2));
    assert_eq!(log.newest().await.unwrap(), Some(trial.clone()));
    assert_eq!(log.deployment(2).await.unwrap(), canary.deployment);
    let promoted = Draft { deployment: canary.deployment, canary: None, ..Draft::after(&trial, Action::Promote) };
    let promoted = log.append(Some(&trial), promoted, "ann@here", "").await.unwrap();
    assert_eq!((promoted.number, promoted.deployment.number), (3, 2));
    assert_eq!(log.before(Some(&promoted)).await.unwrap(), 1);
}

#[tokio::test]
async fn of_two_that_deploy_at_once_one_is_told_what_won() {
    let directory = tempfile::tempdir().unwrap();
    let log = Log::new(registry(directory.path()), "plays");
    assert!(log.newest().await.unwrap().is_none() && log.after(0).await.unwrap().is_none());
    let append = |present: Option<Entry>, note: &'static str| {
        let log = log.clone();
        async move { log.append(present.as_ref(), draft(), "ann@here", note).await }
    };
    let (a, b) = futures::join!(append(None, "one"), append(None, "two"));
    let (won, lost) = match (a, b) {
        (Ok(won), Err(lost)) | (Err(lost), Ok(won)) => (won, lost),
        (a, b) => panic!("one of two wins: {a:?}, {b:?}"),
    };
    assert_eq!((won.number, won.deployment.number), (1, 1));
    assert!(lost.to_string().contains("ann@here") && lost.to_string().contains(&won.note), "{lost}");
    assert_eq!(log.newest().await.unwrap(), Some(won.clone()));
    assert_eq!(log.after(0).await.unwrap(), Some(won.clone()));
    assert!(log.after(1).await.unwrap().is_none());
    assert!(log.before(Some(&won)).await.is_err());

    let pause = Draft { paused: true, ..Draft::after(&won, Action::Pause) };
    let paused = log.append(Some(&won), pause, "bob@there", "").await.unwrap();
    assert_eq!((paused.number, paused.deployment.number, paused.paused), (2, 1, true), "a pause is no deployment");
    assert!(log.deployment(2).await.is_err());
    let third = append(Some(paused), "three").await.unwrap();
    assert_eq!((third.number, third.deployment.number), (3, 3));
    assert_eq!(log.before(Some(&third)).await.unwrap(), 1);
    assert_eq!(log.all().await.unwrap().len(), 3);
}

#[tokio::test]
async fn an_entry_of_a_newer_program_or_a_copy_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let log = Log::new(registry(directory.path()), "plays");
    let first = log.append(None, draft(), "ann@here", "").await.unwrap();
    let path = |number: u64| directory.path().join(format!("deployments/plays/{number:020}.json"));
    std::fs::copy(path(1), path(2)).unwrap();
    assert!(log.newest().await.unwrap_err().to_string().contains("says that it is number 1"));
    let text = std::fs::read_to_string(path(1)).unwrap().replace("\"format\": 1", "\"format\": 7");
    std::fs::write(path(2), text).unwrap();
    let error = log.after(first.number).await.unwrap_err();
    assert!(error.to_string().contains("newer wasmill"), "{error}");
}

#[test]
fn differences_name_what_changes_and_what_breaks_readers() {
    let one = |name: &str, version: &str, settings: &[(&str, &str)]| Deployed {
        name: name.into(),
        transform: name.into(),
        version: parse_version(version).unwrap(),
        sha256: "00".repeat(32),
        settings: settings.iter().map(|(k, v)| ((*k).to_owned(), Setting::Value((*v).to_owned()))).collect(),
        limits: Limits::default(),
        on_failure: FailurePolicy::default(),
    };
    let old = deployment(
        vec![one("keep", "1.0.0", &[("s", "30")]), one("geo", "1.0.0", &[]), one("mask", "1.0.0", &[])],
        &[("a", "int", true), ("b", "string", false), ("c", "long", true), ("d", "long", true)],
    );
    let new = deployment(
        vec![one("mask", "1.0.0", &[]), one("keep", "1.1.0", &[("s", "45")]), one("late", "2.0.0", &[])],
        &[("a", "long", true), ("b", "string", true), ("d", "long", false), ("e", "int", true)],
    );
    let difference = Difference::between(Some(&old), &new);
    let text = difference.to_string();
    for part in [
        "- geo: geo@1.0.0",
        "+ late: late@2.0.0",
        "~ keep: version keep@1.0.0 -> keep@1.1.0",
        "~ keep: setting s 30 -> 45",
        "position keep, mask -> mask, keep",
        "- column c long",
        "+ column e int",
        "~ column a int -> a long",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    let breaking: Vec<_> = difference.incompatible().into_iter().cloned().collect();
    let name = |change: &ColumnChange| match change {
        ColumnChange::Added(column) | ColumnChange::Removed(column) => column.name.clone(),
        ColumnChange::Retyped { from, .. } => from.name.clone(),
    };
    assert_eq!(breaking.iter().map(name).collect::<Vec<_>>(), ["c", "a", "b"]);
    assert!(Difference::between(Some(&new), &new).is_empty());
    let first = Difference::between(None, &new);
    assert!(first.columns.is_empty() && first.transforms.iter().all(|c| matches!(c, TransformChange::Added { .. })));
}

#[test]
fn an_entry_is_read_as_it_was_written() {
    let entry = Entry {
        format: FORMAT,
        number: 7,
        id: Id(1),
        action: Action::Rollback { to: 3 },
        deployment: deployment(vec![], &[("a", "int", true)]),
        canary: None,
        paused: true,
        at_ms: 5,
        by: "ann@here".into(),
        note: "why".into(),
    };
    let text = serde_json::to_string(&entry).unwrap();
    assert_eq!(serde_json::from_str::<Entry>(&text).unwrap(), entry);
    for (setting, json) in [
        (Setting::Value("30".into()), "\"30\""),
        (Setting::Env { env: "KEY".into() }, "{\"env\":\"KEY\"}"),
        (Setting::File { file: "/k".into() }, "{\"file\":\"/k\"}"),
    ] {
        assert_eq!(serde_json::to_string(&setting).unwrap(), json);
        assert_eq!(serde_json::from_str::<Setting>(json).unwrap(), setting);
    }
}
