//! What an operator asks for, and the deployment that it means.

use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;

use super::{Deployed, Deployment, Setting};
use crate::config::FailurePolicy;
use crate::error::{Error, Result};
use crate::registry::{Reference, Registry};

/// The whole chain that is to run. Settings, limits and failure policies of transforms that the present deployment has
/// under the same name are kept; what is given here is put over them.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// In order.
    pub transforms: Vec<Placement>,
    /// `TRANSFORM.SETTING=VALUE`.
    pub set: Vec<String>,
    /// `TRANSFORM.SETTING`: back to the module's own default.
    pub unset: Vec<String>,
    /// `TRANSFORM.LIMIT=VALUE`: memory, deadline, output, high_water, log_lines, log_bytes, metrics, instances.
    pub limits: Vec<String>,
    /// `TRANSFORM=POLICY`.
    pub on_failure: Vec<String>,
}

/// `[NAME=]TRANSFORM[@VERSION]`: a transform and its name in the pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// Its name in the pipeline; by default the transform's.
    pub name: String,
    /// Which transform.
    pub reference: Reference,
}

impl FromStr for Placement {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, reference) = match text.split_once('=') {
            Some((name, reference)) => (Some(name), reference),
            None => (None, text),
        };
        let reference: Reference = reference.parse()?;
        let name = match name {
            // The rules for names of transforms hold for names in the pipeline.
            Some(name) => name.parse::<Reference>().map(|reference| reference.name)?,
            None => reference.name.clone(),
        };
        Ok(Self { name, reference })
    }
}

impl Request {
    /// The transforms that it means, with `present` as what runs now.
    ///
    /// # Errors
    /// A transform is not there; a setting, limit or policy is none, or names a transform that is not among them.
    pub async fn transforms(&self, registry: &Registry, present: Option<&Deployment>) -> Result<Vec<Deployed>> {
        let mut transforms: Vec<Deployed> = Vec::with_capacity(self.transforms.len());
        for Placement { name, reference } in &self.transforms {
            if transforms.iter().any(|other| other.name == *name) {
                return Err(Error::config(format!("{name} stands in the deployment twice"))
                    .hint(format!("give one of them a name of its own: OTHER={reference}")));
            }
            let release = registry.find(reference).await?;
            let kept = present.and_then(|present| present.transforms.iter().find(|other| other.name == *name));
            transforms.push(Deployed {
                name: name.clone(),
                transform: release.name,
                version: release.version,
                sha256: release.sha256,
                settings: kept.map(|kept| kept.settings.clone()).unwrap_or_default(),
                limits: kept.map(|kept| kept.limits.clone()).unwrap_or_default(),
                on_failure: kept.map(|kept| kept.on_failure).unwrap_or_default(),
            });
        }
        for text in &self.set {
            let (target, value) = pair(text, "--set", "TRANSFORM.SETTING=VALUE")?;
            let (transform, setting) = find(&mut transforms, target, "--set")?;
            transform.settings.insert(setting.to_owned(), Setting::parse(setting, value)?);
        }
        for target in &self.unset {
            let (transform, setting) = find(&mut transforms, target, "--unset")?;
            if transform.settings.remove(setting).is_none() {
                return Err(Error::config(format!("--unset {target}: {} has no such setting", transform.name))
                    .hint("`wasmill deployments PIPELINE` shows what is set"));
            }
        }
        for text in &self.limits {
            let (target, value) = pair(text, "--limit", "TRANSFORM.LIMIT=VALUE")?;
            let (transform, limit) = find(&mut transforms, target, "--limit")?;
            set_limit(transform, limit, value)?;
        }
        for text in &self.on_failure {
            let (name, policy) = pair(text, "--on-failure", "TRANSFORM=POLICY")?;
            let policy = policy_of(policy)?;
            match transforms.iter_mut().find(|transform| transform.name == name) {
                Some(transform) => transform.on_failure = policy,
                None => return Err(not_there(&transforms, name, "--on-failure")),
            }
        }
        Ok(transforms)
    }
}

fn pair<'t>(text: &'t str, flag: &str, form: &str) -> Result<(&'t str, &'t str)> {
    text.split_once('=').ok_or_else(|| Error::config(format!("{flag} {text}: wanted {form}")))
}

/// The transform that `target` begins with, and what follows. Names may have dots.
fn find<'t, 'd>(transforms: &'d mut [Deployed], target: &'t str, flag: &str) -> Result<(&'d mut Deployed, &'t str)> {
    let rest = |name: &str| target.strip_prefix(name)?.strip_prefix('.').filter(|rest| !rest.is_empty());
    let found = (0..transforms.len()).find_map(|index| Some((index, rest(&transforms[index].name)?)));
    match found {
        Some((index, rest)) => Ok((&mut transforms[index], rest)),
        None => Err(not_there(transforms, target, flag)),
    }
}

fn not_there(transforms: &[Deployed], target: &str, flag: &str) -> Error {
    let names: Vec<&str> = transforms.iter().map(|transform| transform.name.as_str()).collect();
    Error::config(format!("{flag} {target}: no transform of this deployment is meant"))
        .hint(format!("begin with the name of one of: {}", names.join(", ")))
}

/// The same names, ranges and units as under `[transforms.limits]` of a pipeline file.
fn set_limit(transform: &mut Deployed, limit: &str, value: &str) -> Result<()> {
    let wrong = |wanted: &str| Error::config(format!("--limit {}.{limit}={value}: wanted {wanted}", transform.name));
    let size = |range: RangeInclusive<usize>, wanted| {
        let size = value.parse::<ByteSize>().ok().and_then(|size| usize::try_from(size.as_u64()).ok());
        size.filter(|size| range.contains(size)).map(Some).ok_or_else(|| wrong(wanted))
    };
    let number = |range: RangeInclusive<usize>, wanted| {
        let number = value.parse::<usize>().ok().filter(|number| range.contains(number));
        number.map(Some).ok_or_else(|| wrong(wanted))
    };
    let limits = &mut transform.limits;
    match limit {
        "memory" => limits.memory_bytes = size(1 << 20..=4 << 30, "a size like 64MiB, from 1 MiB to 4 GiB")?,
        "output" => limits.output_bytes = size(1 << 10..=1 << 30, "a size like 64MiB, from 1 KiB to 1 GiB")?,
        "high_water" => limits.high_water_bytes = size(64 << 10..=4 << 30, "a size like 48MiB, from 64 KiB to 4 GiB")?,
        "log_bytes" => limits.log_bytes = size(1 << 10..=16 << 20, "a size like 8KiB, from 1 KiB to 16 MiB")?,
        "log_lines" => {
            let lines = number(1..=10_000, "a number of lines from 1 to 10000")?;
            limits.log_lines = lines.and_then(|lines| u32::try_from(lines).ok());
        }
        "metrics" => limits.metrics = number(0..=1_000, "a number of names from 0 to 1000")?,
        "instances" => limits.instances = number(1..=1_024, "a number of instances from 1 to 1024")?,
        "deadline" => {
            let range = Duration::from_millis(10)..=Duration::from_secs(60);
            let deadline = humantime::parse_duration(value).ok().filter(|deadline| range.contains(deadline));
            let deadline = deadline.ok_or_else(|| wrong("a duration like 500ms, from 10 ms to 60 s"))?;
            limits.deadline_ms = u64::try_from(deadline.as_millis()).ok();
        }
        _ => {
            let all = "memory, deadline, output, high_water, log_lines, log_bytes, metrics, instances";
            return Err(wrong(&format!("one of the limits {all}")));
        }
    }
    Ok(())
}

fn policy_of(text: &str) -> Result<FailurePolicy> {
    serde_json::from_value(serde_json::Value::from(text)).map_err(|_| {
        Error::config(format!("{text:?} is no failure policy"))
            .hint("dead-letter: the row is set aside; stop: the topic partition stops; skip: the row goes on unchanged")
    })
}
