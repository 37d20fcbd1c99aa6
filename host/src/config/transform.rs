//! `[[transforms]]`.

use std::collections::BTreeSet;
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use super::file::{Field, Section};
use super::secret::Settings;
use super::value;
use super::{FailurePolicy, GuestLimits, TransformConfig};

/// The transforms in order; those with mistakes are left out.
pub(super) fn transforms(root: &Section<'_>) -> Vec<TransformConfig> {
    let mut names = BTreeSet::new();
    let mut transforms = Vec::new();
    for section in root.sections("transforms") {
        let name = section.required("name", "\"keep-plays\"").and_then(|field| {
            let name = value::name(&field)?;
            if !names.insert(name.clone()) {
                field.mistake(format!("another transform is called {name:?} already; names must differ"));
                return None;
            }
            Some(name)
        });
        let module = section.required("module", "\"keep_plays.wasm\"").and_then(|field| {
            let path = field.reader().directory.join(value::text(&field)?);
            if !path.is_file() {
                let what = if field.is_secret() { field.found() } else { path.display().to_string() };
                field.mistake(format!(
                    "there is no file {what}; build the module with: wasmill transform build DIRECTORY"
                ));
                return None;
            }
            Some(path)
        });
        let settings = section.section("settings").map(settings).unwrap_or_default();
        let limits = section.section("limits").map(limits).unwrap_or_default();
        let on_failure = match section.optional("on_failure") {
            Some(field) => {
                let policies = [
                    ("dead-letter", FailurePolicy::DeadLetter),
                    ("stop", FailurePolicy::Stop),
                    ("skip", FailurePolicy::Skip),
                ];
                value::choice(&field, &policies)
            }
            None => Some(FailurePolicy::default()),
        };
        section.finish();
        if let (Some(name), Some(module), Some(on_failure)) = (name, module, on_failure) {
            transforms.push(TransformConfig { name, module, version: None, settings, limits, on_failure });
        }
    }
    transforms
}

fn limits(section: Section<'_>) -> GuestLimits {
    let default = GuestLimits::default();
    let size = |name, default, range| {
        let size = section.optional(name).and_then(|field| value::size(&field, range));
        size.and_then(|size| usize::try_from(size).ok()).unwrap_or(default)
    };
    let number = |name, range| section.optional(name).and_then(|field| value::integer(&field, range));
    let memory_bytes = size("memory", default.memory_bytes, 1 << 20..=4 << 30);
    let output_bytes = size("output", default.output_bytes, 1 << 10..=1 << 30);
    let deadline = section
        .optional("deadline")
        .and_then(|field| value::duration(&field, Duration::from_millis(10)..=Duration::from_secs(60)))
        .unwrap_or(default.deadline);
    let high_water_bytes = section.optional("high_water").and_then(|field| {
        let bytes = usize::try_from(value::size(&field, 64 << 10..=4 << 30)?).ok()?;
        if bytes > memory_bytes {
            field.mistake("lies above limits.memory, so it would never be reached");
            return None;
        }
        Some(bytes)
    });
    let log_lines = number("log_lines", 1..=10_000).and_then(|lines| u32::try_from(lines).ok());
    let log_bytes = size("log_bytes", default.log_bytes, 1 << 10..=16 << 20);
    let metrics = number("metrics", 0..=1000).and_then(|names| usize::try_from(names).ok());
    let instances = number("instances", 1..=1024).and_then(|most| usize::try_from(most).ok());
    section.finish();
    GuestLimits {
        memory_bytes,
        deadline,
        output_bytes,
        high_water_bytes,
        log_lines: log_lines.unwrap_or(default.log_lines),
        log_bytes,
        metrics: metrics.unwrap_or(default.metrics),
        instances,
    }
}

fn settings(section: Section<'_>) -> Settings {
    let mut settings = Settings::default();
    for (name, field) in section.all() {
        let Some(Setting { value, is_secret }) = setting(&field) else { continue };
        if is_secret {
            settings.insert_secret(name, value);
        } else {
            settings.insert(name, value);
        }
    }
    settings
}

struct Setting {
    value: String,
    is_secret: bool,
}

/// A scalar as TOML writes it; anything else as JSON text.
fn setting(field: &Field<'_>) -> Option<Setting> {
    if let Some(text) = field.referred() {
        return Some(Setting { value: text.to_owned(), is_secret: true });
    }
    let value = match field.toml()? {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) => decimal(field, number)?.to_string(),
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(_) | DeValue::Table(_) => {
            let mut is_secret = false;
            let value = json(field, &mut is_secret)?.to_string();
            return Some(Setting { value, is_secret });
        }
    };
    Some(Setting { value, is_secret: false })
}

fn json(field: &Field<'_>, is_secret: &mut bool) -> Option<serde_json::Value> {
    use serde_json::Value;
    if let Some(text) = field.referred() {
        *is_secret = true;
        return Some(Value::from(text));
    }
    Some(match field.toml()? {
        DeValue::String(text) => Value::from(text.as_ref()),
        DeValue::Integer(number) => Value::from(decimal(field, number)?),
        DeValue::Float(number) => match serde_json::Number::from_f64(number.as_str().parse().ok()?) {
            Some(number) => Value::Number(number),
            None => {
                field.wanted("a finite number: the setting is passed on as JSON");
                return None;
            }
        },
        DeValue::Boolean(value) => Value::from(*value),
        DeValue::Datetime(time) => Value::from(time.to_string()),
        DeValue::Array(_) => {
            let items = field.items()?;
            Value::Array(items.iter().map(|item| json(item, is_secret)).collect::<Option<_>>()?)
        }
        DeValue::Table(table) => Value::Object(object(field, table, is_secret)?),
    })
}

fn object<'t>(
    field: &Field<'t>,
    table: &'t DeTable<'t>,
    is_secret: &mut bool,
) -> Option<serde_json::Map<String, serde_json::Value>> {
    let entry = |(key, value): (&'t toml::Spanned<_>, &'t toml::Spanned<DeValue<'t>>)| {
        let name: &std::borrow::Cow<'t, str> = key.get_ref();
        let inner = field.inner(name, key.span().start, value.get_ref())?;
        *is_secret |= super::secret::names_a_secret(name);
        Some((name.to_string(), json(&inner, is_secret)?))
    };
    table.iter().map(entry).collect()
}

fn decimal(field: &Field<'_>, number: &toml::de::DeInteger<'_>) -> Option<i64> {
    let decimal = i64::from_str_radix(number.as_str(), number.radix()).ok();
    if decimal.is_none() {
        field.wanted("a whole number of 64 bits");
    }
    decimal
}
