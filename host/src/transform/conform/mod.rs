//! Whether a module keeps the contract: the code behind `wasmill transform conform`.
//!
//! The rules are data (`rules.toml`), independent of the Rust SDK and of what the transform is for: whoever brings transforms
//! to another language runs them on what his tools make. Each rule is judged by a check of the same name here; the module
//! runs in the production engine, within the limits it is given.

mod batches;
mod checks;

use std::fmt;

use arrow::datatypes::SchemaRef;
use serde::{Deserialize, Serialize};

use self::batches::BatchRule;
use super::engine::TransformEngine;
use crate::config::TransformConfig;
use crate::error::{Error, Result};

/// The rules and the batches.
#[derive(Debug, Clone, Deserialize)]
struct Rules {
    rule: Vec<Rule>,
    batch: Vec<BatchRule>,
}

/// One rule of the contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Short and stable.
    pub id: String,
    /// How much it weighs.
    pub level: Level,
    /// What a module does that keeps it.
    pub text: String,
}

/// How much a rule weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// A host refuses the module, or turns rows into dead letters, where it is broken.
    Must,
    /// The module works, and disappoints.
    Should,
}

/// What became of one rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Judged {
    /// The rule.
    #[serde(flatten)]
    pub rule: Rule,
    /// How the module breaks it; `None`: it keeps it, or what comes before is broken so that it could not be judged.
    pub broken: Option<String>,
    /// It could not be judged, for a rule before it is broken.
    pub skipped: bool,
}

/// Every rule, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Conformance {
    /// One per rule.
    pub rules: Vec<Judged>,
}

impl Conformance {
    /// Whether every rule that must be kept is kept.
    pub fn conforms(&self) -> bool {
        self.rules.iter().all(|judged| judged.rule.level == Level::Should || judged.broken.is_none() && !judged.skipped)
    }
}

impl fmt::Display for Conformance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Judged { rule, broken, skipped } in &self.rules {
            let word = match (broken, rule.level) {
                (None, _) if *skipped => "-",
                (None, _) => "ok",
                (Some(_), Level::Must) => "BROKEN",
                (Some(_), Level::Should) => "poor",
            };
            writeln!(f, "{word:<7} {}", rule.id)?;
            if let Some(broken) = broken {
                writeln!(f, "        {}", rule.text)?;
                writeln!(f, "        found: {broken}")?;
            }
        }
        let count = |holds: fn(&Judged) -> bool| self.rules.iter().filter(|judged| holds(judged)).count();
        let (broken, skipped) = (count(|judged| judged.broken.is_some()), count(|judged| judged.skipped));
        let kept = self.rules.len() - broken - skipped;
        writeln!(f, "{kept} rules kept, {broken} broken, {skipped} not judged")
    }
}

/// Judges `config`'s module, given as `bytes`, for events of `input`.
///
/// # Errors
/// The host's own: a column of `input` has a type that no event has. Whatever the module does is a judgement.
pub fn judge(
    engine: &TransformEngine,
    config: &TransformConfig,
    bytes: &[u8],
    input: &SchemaRef,
) -> Result<Conformance> {
    let Rules { rule, batch } = rules()?;
    let mut findings = checks::check(engine, config, bytes, input, &batch)?;
    let judged = rule.into_iter().map(|rule| match findings.remove(rule.id.as_str()) {
        Some(broken) => Judged { rule, broken, skipped: false },
        None => Judged { rule, broken: None, skipped: true },
    });
    let rules = judged.collect();
    match findings.keys().next() {
        None => Ok(Conformance { rules }),
        Some(id) => Err(Error::fatal(format!("rules.toml has no rule {id:?}; this is a bug in wasmill"))),
    }
}

fn rules() -> Result<Rules> {
    let bug = |error| Error::fatal("the rules cannot be read; this is a bug in wasmill").because(error);
    toml::from_str(include_str!("rules.toml")).map_err(|error: toml::de::Error| bug(error))
}
