//! What changes from one deployment to another.

use std::fmt;

use serde::Serialize;

use super::{Column, Deployed, Deployment};
use crate::registry::short;

/// What changes from one deployment to another. Empty lists: nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Difference {
    /// What becomes of the transforms.
    pub transforms: Vec<TransformChange>,
    /// What becomes of the table's columns.
    pub columns: Vec<ColumnChange>,
}

/// What becomes of one transform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(tag = "change", rename_all = "kebab-case")]
pub enum TransformChange {
    /// It is new.
    Added {
        /// Its name in the pipeline.
        name: String,
        /// `NAME@VERSION`.
        reference: String,
    },
    /// It is gone.
    Removed {
        /// Its name in the pipeline.
        name: String,
        /// `NAME@VERSION`.
        reference: String,
    },
    /// Something of it is another.
    Changed {
        /// Its name in the pipeline.
        name: String,
        /// What: version, module, position, setting NAME, limits, on_failure.
        what: String,
        /// Before; absent when there was nothing.
        from: Option<String>,
        /// After; absent when there is nothing.
        to: Option<String>,
    },
}

/// What becomes of one column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(tag = "change", rename_all = "kebab-case")]
pub enum ColumnChange {
    /// Files from here on have it; readers see null in older ones.
    Added(Column),
    /// Files from here on do not have it; readers see null in them.
    Removed(Column),
    /// It has another type, or may be null where it could not.
    Retyped {
        /// Before.
        from: Column,
        /// After.
        to: Column,
    },
}

impl ColumnChange {
    /// Whether readers of the whole table go on as before: they see one column more, or nulls where they saw none before
    /// only in a column that is new.
    pub fn is_compatible(&self) -> bool {
        match self {
            Self::Added(_) => true,
            Self::Removed(_) => false,
            // A promise that is added breaks nobody; one that is taken back does.
            Self::Retyped { from, to } => from.r#type == to.r#type && from.nullable && !to.nullable,
        }
    }
}

impl Difference {
    /// From `old` to `new`. No `old`: everything is new.
    pub fn between(old: Option<&Deployment>, new: &Deployment) -> Self {
        let nothing = Deployment { number: 0, transforms: Vec::new(), columns: Vec::new() };
        let known = old.is_some();
        let old = old.unwrap_or(&nothing);
        Self {
            transforms: transforms(&old.transforms, &new.transforms),
            columns: if known { columns(&old.columns, &new.columns) } else { Vec::new() },
        }
    }

    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.transforms.is_empty() && self.columns.is_empty()
    }

    /// The changes of columns that break readers of the whole table.
    pub fn incompatible(&self) -> Vec<&ColumnChange> {
        self.columns.iter().filter(|change| !change.is_compatible()).collect()
    }
}

fn transforms(old: &[Deployed], new: &[Deployed]) -> Vec<TransformChange> {
    let mut changes = Vec::new();
    for gone in old.iter().filter(|old| !new.iter().any(|new| new.name == old.name)) {
        changes.push(TransformChange::Removed { name: gone.name.clone(), reference: gone.reference().to_string() });
    }
    for transform in new {
        match old.iter().find(|old| old.name == transform.name) {
            None => changes.push(TransformChange::Added {
                name: transform.name.clone(),
                reference: transform.reference().to_string(),
            }),
            Some(before) => changes.extend(of_transform(before, transform)),
        }
    }
    // Positions among those that stay: what was added or removed moves nobody.
    let order = |all: &[Deployed], others: &[Deployed]| -> Vec<String> {
        all.iter().filter(|one| others.iter().any(|other| other.name == one.name)).map(|one| one.name.clone()).collect()
    };
    let (before, after) = (order(old, new), order(new, old));
    if before != after {
        let name = "(order)".to_owned();
        let (from, to) = (Some(before.join(", ")), Some(after.join(", ")));
        changes.push(TransformChange::Changed { name, what: "position".to_owned(), from, to });
    }
    changes
}

fn of_transform(old: &Deployed, new: &Deployed) -> Vec<TransformChange> {
    let mut changes = Vec::new();
    let mut note = |what: String, from: Option<String>, to: Option<String>| {
        if from != to {
            changes.push(TransformChange::Changed { name: new.name.clone(), what, from, to });
        }
    };
    let versions = (old.reference().to_string(), new.reference().to_string());
    if versions.0 == versions.1 {
        note("module".to_owned(), Some(short(&old.sha256).to_owned()), Some(short(&new.sha256).to_owned()));
    } else {
        note("version".to_owned(), Some(versions.0), Some(versions.1));
    }
    let names: std::collections::BTreeSet<&String> = old.settings.keys().chain(new.settings.keys()).collect();
    for name in names {
        let value = |of: &Deployed| of.settings.get(name).map(ToString::to_string);
        note(format!("setting {name}"), value(old), value(new));
    }
    note("limits".to_owned(), json(&old.limits), json(&new.limits));
    note("on_failure".to_owned(), json(&old.on_failure), json(&new.on_failure));
    changes
}

/// As it stands in a file.
fn json(value: &impl Serialize) -> Option<String> {
    match serde_json::to_value(value).ok()? {
        serde_json::Value::String(text) => Some(text),
        value => Some(value.to_string()),
    }
}

fn columns(old: &[Column], new: &[Column]) -> Vec<ColumnChange> {
    let mut changes = Vec::new();
    for gone in old.iter().filter(|old| !new.iter().any(|new| new.name == old.name)) {
        changes.push(ColumnChange::Removed(gone.clone()));
    }
    for column in new {
        match old.iter().find(|old| old.name == column.name) {
            None => changes.push(ColumnChange::Added(column.clone())),
            Some(before) if before != column => {
                changes.push(ColumnChange::Retyped { from: before.clone(), to: column.clone() });
            }
            Some(_) => {}
        }
    }
    changes
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", self.name, self.r#type, if self.nullable { "" } else { ", required" })
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "(none)".to_owned());
        for change in &self.transforms {
            match change {
                TransformChange::Added { name, reference } => writeln!(f, "  + {name}: {reference}")?,
                TransformChange::Removed { name, reference } => writeln!(f, "  - {name}: {reference}")?,
                TransformChange::Changed { name, what, from, to } => {
                    writeln!(f, "  ~ {name}: {what} {} -> {}", shown(from), shown(to))?;
                }
            }
        }
        for change in &self.columns {
            match change {
                ColumnChange::Added(column) => writeln!(f, "  + column {column}")?,
                ColumnChange::Removed(column) => writeln!(f, "  - column {column}")?,
                ColumnChange::Retyped { from, to } => writeln!(f, "  ~ column {from} -> {to}")?,
            }
        }
        if self.is_empty() { writeln!(f, "  nothing changes") } else { Ok(()) }
    }
}
