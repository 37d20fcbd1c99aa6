//! `/admin/loggers`: how much this server and its pipelines' processes log.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};

use super::Office;
use super::answer::{Answer, Refusal};
use super::caller::Caller;
use crate::admin::tokens::Role;
use crate::error::Result;

/// What stands for all others.
const ROOT: &str = "root";

/// Loggers that are told apart, at most.
const MOST: usize = 200;

/// The levels of loggers.
pub struct Loggers {
    levels: Mutex<BTreeMap<String, Level>>,
    apply: Apply,
}

/// Takes levels as `WASMILL_LOG` has them: `warn,wasmill=info`.
type Apply = Box<dyn Fn(&str) -> Result<()> + Send + Sync>;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Level {
    level: &'static str,
    /// Milliseconds since 1970; `None`: as at the start.
    last_modified: Option<i64>,
}

impl Loggers {
    /// `levels` at the start, as `WASMILL_LOG` has them.
    pub fn new(levels: &str, apply: impl Fn(&str) -> Result<()> + Send + Sync + 'static) -> Self {
        let mut known = BTreeMap::new();
        for directive in levels.split(',') {
            let (name, level) = directive.split_once('=').unwrap_or((ROOT, directive));
            if let Some(level) = named(level.trim()) {
                known.insert(name.trim().replace("::", "."), Level { level, last_modified: None });
            }
        }
        known.entry(ROOT.to_owned()).or_insert(Level { level: "ERROR", last_modified: None });
        Self { levels: Mutex::new(known), apply: Box::new(apply) }
    }

    fn levels(&self) -> MutexGuard<'_, BTreeMap<String, Level>> {
        self.levels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the level of a logger and of those below it; their names.
    fn set(&self, name: &str, level: &'static str, at_ms: i64) -> Answer<Vec<String>> {
        let mut levels = self.levels();
        let mut next = levels.clone();
        if next.len() < MOST || next.contains_key(name) {
            next.insert(name.to_owned(), Level { level, last_modified: Some(at_ms) });
        }
        let below = format!("{name}.");
        let mut changed = Vec::new();
        for (known, now) in &mut next {
            if name == ROOT || known == name || known.starts_with(&below) {
                *now = Level { level, last_modified: Some(at_ms) };
                changed.push(known.clone());
            }
        }
        (self.apply)(&directives(&next))?;
        *levels = next;
        Ok(changed)
    }
}

fn directives(levels: &BTreeMap<String, Level>) -> String {
    let directive = |(name, level): (&String, &Level)| match name.as_str() {
        ROOT => level.level.to_ascii_lowercase(),
        name => format!("{}={}", name.replace('.', "::"), level.level.to_ascii_lowercase()),
    };
    levels.iter().map(directive).collect::<Vec<_>>().join(",")
}

/// A level by the names that Connect's clients have for it.
fn named(name: &str) -> Option<&'static str> {
    Some(match name.to_ascii_uppercase().as_str() {
        "TRACE" | "ALL" => "TRACE",
        "DEBUG" => "DEBUG",
        "INFO" => "INFO",
        "WARN" => "WARN",
        "ERROR" | "FATAL" => "ERROR",
        "OFF" => "OFF",
        _ => return None,
    })
}

/// Whether it could be the name of a part of this program.
fn is_name(name: &str) -> bool {
    let is_part =
        |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    name.len() <= 200 && name.split('.').all(is_part)
}

pub(super) async fn list(State(office): State<Arc<Office>>, caller: Caller) -> Answer<Json<Value>> {
    caller.must(Role::Viewer)?;
    Ok(Json(json!(*office.loggers.levels())))
}

pub(super) async fn show(
    State(office): State<Arc<Office>>,
    caller: Caller,
    Path(name): Path<String>,
) -> Answer<Json<Value>> {
    caller.must(Role::Viewer)?;
    let level = office.loggers.levels().get(&name).cloned();
    level.map(|level| Json(json!(level))).ok_or_else(|| Refusal::missing(format!("Logger {name} not found.")))
}

pub(super) async fn set(
    State(office): State<Arc<Office>>,
    caller: Caller,
    Path(name): Path<String>,
    Query(asked): Query<HashMap<String, String>>,
    body: Bytes,
) -> Answer<Response> {
    caller.must(Role::Admin)?;
    if asked.get("scope").is_some_and(|scope| scope == "cluster") {
        return Err(Refusal::wrong("levels are set server by server: ask each one, without scope=cluster"));
    }
    let body: Value = super::changes::json(&body)?;
    let Some(level) = body.get("level").and_then(Value::as_str) else {
        return Err(Refusal::wrong("Desired 'level' parameter was not specified in request."));
    };
    let level = named(level).ok_or_else(|| Refusal::missing(format!("invalid log level '{level}'.")))?;
    if !is_name(&name) {
        return Err(Refusal::missing(format!("Logger {name} not found.")));
    }
    let changed = office.loggers.set(&name, level, office.runtime.now_ms())?;
    tracing::warn!(logger = name, level, by = caller.by(), "the level of a logger was changed");
    Ok((StatusCode::OK, Json(changed)).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_counts_for_those_below() {
        let applied = Arc::new(Mutex::new(Vec::new()));
        let apply = {
            let applied = Arc::clone(&applied);
            move |text: &str| {
                applied.lock().unwrap().push(text.to_owned());
                Ok(())
            }
        };
        let loggers = Loggers::new("warn,wasmill=info", apply);
        assert_eq!(loggers.set("wasmill.sink", "DEBUG", 1).unwrap(), ["wasmill.sink"]);
        assert_eq!(loggers.set("wasmill", "ERROR", 2).unwrap(), ["wasmill", "wasmill.sink"]);
        assert_eq!(loggers.set("root", "INFO", 3).unwrap(), ["root", "wasmill", "wasmill.sink"]);
        let applied = applied.lock().unwrap();
        assert_eq!(applied[0], "warn,wasmill=info,wasmill::sink=debug");
        assert_eq!(applied[1], "warn,wasmill=error,wasmill::sink=error");
        assert_eq!(applied[2], "info,wasmill=info,wasmill::sink=info");
        assert_eq!(loggers.levels()["root"], Level { level: "INFO", last_modified: Some(3) });
    }

    #[test]
    fn names_are_those_of_parts() {
        assert!(is_name("wasmill.sink") && is_name("root"));
        for wrong in ["", "a..b", "a=b", "a,b", "[span]", "wasmill::sink"] {
            assert!(!is_name(wrong), "{wrong}");
        }
    }
}
