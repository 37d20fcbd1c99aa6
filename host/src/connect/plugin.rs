//! `/connector-plugins`: the one class of connectors, its keys, and whether a configuration is a good one.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use serde_json::{Value, json};

use super::Office;
use super::answer::{Answer, Refusal};
use super::caller::Caller;
use super::flat::{CLASS, Wrong};
use super::{changes, definitions, flat};
use crate::admin::tokens::Role;
use crate::config::Config;
use crate::error::Error;
use crate::serve::{self, Unfit};

/// What a configuration makes.
pub(super) struct Made {
    /// The pipeline file.
    pub(super) file: String,
    /// What it says.
    pub(super) config: Config,
}

/// The pipeline that a configuration makes. Blocks, as [`serve::check`] does.
///
/// # Errors
/// All that is wrong with it, by key.
pub(super) fn make(config: &BTreeMap<String, String>, brokers: Option<&str>) -> Result<Made, Vec<Wrong>> {
    let mut wrong = common(config);
    let file = match flat::to_file(config) {
        Ok(file) => file,
        Err(more) => {
            wrong.extend(more);
            return Err(wrong);
        }
    };
    match serve::check(&file, brokers) {
        Ok(made) if wrong.is_empty() => Ok(Made { file, config: made }),
        Ok(_) => Err(wrong),
        Err(unfit) => {
            // What is missing was said already.
            let known: Vec<String> = wrong.iter().map(|wrong| wrong.key.clone()).collect();
            wrong.extend(of_file(unfit).into_iter().filter(|found| !known.contains(&found.key)));
            Err(wrong)
        }
    }
}

/// What every connector must have.
fn common(config: &BTreeMap<String, String>) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    let mut missing = |key: &str| {
        let why = format!("Missing required configuration \"{key}\" which has no default value.");
        wrong.push(Wrong { key: key.to_owned(), why });
    };
    let is_there = |key: &str| config.get(key).is_some_and(|text| !text.trim().is_empty());
    for key in ["name", "connector.class", "topics"] {
        if !is_there(key) {
            missing(key);
        }
    }
    if is_there("connector.class") && config.get("connector.class").is_some_and(|class| class != CLASS) {
        let why = format!("there is one class of connectors here: {CLASS}");
        wrong.push(Wrong { key: "connector.class".to_owned(), why });
    }
    if config.get("tasks.max").is_some_and(|text| text.trim().parse::<std::num::NonZeroU32>().is_err()) {
        wrong.push(Wrong { key: "tasks.max".to_owned(), why: "a whole number from 1 is wanted".to_owned() });
    }
    wrong
}

/// Why a file may not be applied, by the connector's keys.
fn of_file(unfit: Unfit) -> Vec<Wrong> {
    let with_hint = |error: &Error| match error.what_to_do() {
        Some(hint) => format!("{error}; {hint}"),
        None => error.to_string(),
    };
    match unfit {
        Unfit::Mistaken(mistakes) => mistakes
            .mistakes
            .into_iter()
            .map(|mistake| Wrong { key: definitions::name(&mistake.key).to_owned(), why: mistake.message })
            .collect(),
        Unfit::Refused { key, error } => vec![Wrong { key, why: with_hint(&error) }],
        Unfit::Failed(error) => vec![Wrong { key: "connector.class".to_owned(), why: with_hint(&error) }],
    }
}

/// There is nothing but connectors, so `connectorsOnly` makes no difference.
pub(super) async fn list(caller: Caller) -> Answer<Json<Value>> {
    caller.must(Role::Viewer)?;
    Ok(Json(json!([{ "class": CLASS, "type": "sink", "version": env!("CARGO_PKG_VERSION") }])))
}

pub(super) async fn keys(caller: Caller, Path(class): Path<String>) -> Answer<Json<Value>> {
    caller.must(Role::Viewer)?;
    if class != CLASS {
        return Err(Refusal::missing(format!("Unknown plugin {class}.")));
    }
    Ok(Json(definitions::single().map(|definition| json!(definition)).collect()))
}

pub(super) async fn validate(
    State(office): State<Arc<Office>>,
    caller: Caller,
    Path(class): Path<String>,
    body: Bytes,
) -> Answer<Json<Value>> {
    // It may ask a registry whose address the configuration names.
    caller.must(Role::Deployer)?;
    let config = changes::config(changes::json(&body)?)?;
    changes::must_not_look_outside(&caller, &config)?;
    let Some(named) = config.get("connector.class") else {
        return Err(Refusal::wrong(format!("Connector config {} contains no connector type", changes::shown(&config))));
    };
    if *named != class {
        return Err(Refusal::wrong(format!("Included connector type {named} does not match request type {class}")));
    }
    let (checked, brokers) = (config.clone(), office.brokers.clone());
    let made = tokio::task::spawn_blocking(move || make(&checked, brokers.as_deref())).await;
    let wrong = match made {
        Ok(made) => made.err().unwrap_or_default(),
        Err(_) => return Err(Error::fatal("checking the configuration panicked; this is a bug in wasmill").into()),
    };
    Ok(Json(validation(&config, &wrong)))
}

/// Every key with its value and what is wrong with it.
fn validation(config: &BTreeMap<String, String>, wrong: &[Wrong]) -> Value {
    let errors = |key: &str| -> Vec<&str> {
        wrong.iter().filter(|wrong| wrong.key == key).map(|wrong| wrong.why.as_str()).collect()
    };
    let known: Vec<_> = definitions::single().collect();
    let mut configs: Vec<Value> = Vec::new();
    let row = |definition: Value, key: &str| {
        json!({
            "definition": definition,
            "value": {
                "name": key,
                "value": config.get(key),
                "recommended_values": [],
                "errors": errors(key),
                "visible": true,
            },
        })
    };
    for definition in &known {
        configs.push(row(json!(definition), &definition.name));
    }
    // Keys that stand for many, keys that are none, and mistakes of whole sections.
    let others = config.keys().chain(wrong.iter().map(|wrong| &wrong.key));
    let mut others: Vec<&String> =
        others.filter(|key| !known.iter().any(|definition| definition.name == **key)).collect();
    others.sort();
    others.dedup();
    for key in others {
        let mut definition = json!(definitions::of(key).unwrap_or(known[0]));
        for field in ["name", "display_name"] {
            definition[field] = json!(key);
        }
        definition["required"] = json!(false);
        configs.push(row(definition, key));
    }
    let mut groups: Vec<&str> = Vec::new();
    for definition in &known {
        if !groups.contains(&definition.group()) {
            groups.push(definition.group());
        }
    }
    let count = configs.iter().filter(|config| config["value"]["errors"] != json!([])).count();
    json!({ "name": CLASS, "error_count": count, "groups": groups, "configs": configs })
}
