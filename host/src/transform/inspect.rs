//! What `wasmill transform inspect` shows of a module.

use std::fmt;

use arrow::datatypes::SchemaRef;
use serde::Serialize;

use super::chain::{LinkedTransform, read};
use super::columns::format_of;
use super::descriptor::{Descriptor, Written};
use super::engine::TransformEngine;
use super::module::{ModuleFile, ModuleInfo};
use crate::config::TransformConfig;
use crate::error::Result;

/// A module, and what it does with given settings and columns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// What the module is and says about itself.
    #[serde(flatten)]
    pub module: ModuleInfo,
    /// What it reads and does; absent when no columns were given.
    #[serde(flatten)]
    pub descriptor: Option<Descriptor>,
    /// The columns after it; absent when no columns were given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<Written>>,
}

/// What the module of that file is and says about itself. Nothing of it runs.
///
/// Errors are of kind `Config`: it may not run here.
pub fn look(file: &std::path::Path) -> Result<ModuleInfo> {
    Ok(ModuleFile::parse(&read(file, &file.display().to_string())?)?.info)
}

/// Inspects `config`'s module. No guest code runs unless `input`, the columns that would reach it, is given.
///
/// Errors are of kind `Config`: the module cannot run here, or does not fit the columns or settings.
pub fn inspect(engine: &TransformEngine, config: &TransformConfig, input: Option<&SchemaRef>) -> Result<Inspection> {
    let bytes = read(&config.module, &config.name)?;
    let Some(input) = input else {
        return Ok(Inspection { module: ModuleFile::parse(&bytes)?.info, descriptor: None, columns: None });
    };
    let linked = LinkedTransform::link(engine, config, &bytes, input)?;
    let column = |field: &arrow::datatypes::FieldRef| Written {
        name: field.name().clone(),
        format: format_of(field.data_type()).unwrap_or_else(|| field.data_type().to_string()),
        nullable: field.is_nullable(),
    };
    let columns = linked.output_schema().fields().iter().map(column).collect();
    Ok(Inspection { module: linked.module, descriptor: Some(linked.descriptor), columns: Some(columns) })
}

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |names: &[String]| if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
        let module = &self.module;
        writeln!(f, "name       {} {}", module.name, module.version)?;
        writeln!(f, "interface  wasmill:transform {}", module.wit_version)?;
        writeln!(f, "size       {} bytes", module.size)?;
        writeln!(f, "sha256     {}", module.sha256)?;
        writeln!(f, "imports    {}", list(&module.imports))?;
        writeln!(f, "exports    {}", list(&module.exports))?;
        if let Some(descriptor) = &self.descriptor {
            let writes: Vec<_> = descriptor.writes.iter().map(Written::to_string).collect();
            writeln!(f, "reads      {}", list(&descriptor.reads))?;
            writeln!(f, "writes     {}", list(&writes))?;
            writeln!(f, "drops      {}", list(&descriptor.drops))?;
            for reason in &descriptor.reasons {
                writeln!(f, "rejects    {}: {}", reason.code, reason.message)?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.format.as_str() {
            "b" => "boolean",
            "i" => "int",
            "l" => "long",
            "f" => "float",
            "g" => "double",
            "u" => "string",
            "z" => "binary",
            "tsu:UTC" => "timestamp(us)",
            other => other,
        };
        write!(f, "{} {name}{}", self.name, if self.nullable { "" } else { "!" })
    }
}
