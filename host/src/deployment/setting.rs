//! A setting of a deployed transform: a value, or where each host finds a secret one.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::config::{self, Settings};
use crate::error::{Error, Result};

/// A setting as it stands in a deployment. A secret is named, never written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum Setting {
    /// The value.
    Value(String),
    /// An environment variable of each host.
    Env {
        /// Its name.
        env: String,
    },
    /// A file on each host.
    File {
        /// Its absolute path.
        #[schema(value_type = String)]
        file: PathBuf,
    },
}

/// A setting's value on this host.
pub(super) enum Resolved {
    Plain(String),
    Secret(String),
}

impl Resolved {
    pub(super) fn put(self, name: &str, settings: &mut Settings) {
        match self {
            Self::Plain(value) => settings.insert(name, value),
            Self::Secret(value) => settings.insert_secret(name, value),
        }
    }
}

impl Setting {
    /// From the command line: `env:NAME`, `file:PATH`, or a value. `name`: the setting's.
    ///
    /// # Errors
    /// The name says that it is a secret, and a value was given; or the path is relative.
    pub fn parse(name: &str, text: &str) -> Result<Self> {
        if let Some(env) = text.strip_prefix("env:") {
            return Ok(Self::Env { env: env.to_owned() });
        }
        if let Some(file) = text.strip_prefix("file:") {
            let file = PathBuf::from(file);
            if file.is_absolute() {
                return Ok(Self::File { file });
            }
            return Err(Error::config(format!("setting {name}: the path {} is relative", file.display()))
                .hint("give the path that the file has on every host, from the root"));
        }
        if config::secret::names_a_secret(name) {
            return Err(Error::config(format!(
                "setting {name} is a secret by its name, and deployments are kept for ever"
            ))
            .hint(format!("name where every host finds it: {name}=env:VARIABLE or {name}=file:/PATH")));
        }
        Ok(Self::Value(text.to_owned()))
    }

    pub(super) fn resolve(&self, transform: &str, name: &str) -> Result<Resolved> {
        let missing = |what: String| {
            Error::config(format!("transform `{transform}`: setting {name}: {what}"))
                .hint("every host that runs the pipeline needs it, and so does whoever deploys")
        };
        match self {
            Self::Value(value) => Ok(Resolved::Plain(value.clone())),
            Self::Env { env } => std::env::var(env)
                .map(Resolved::Secret)
                .map_err(|_| missing(format!("the environment variable {env} is not set"))),
            Self::File { file } => config::read_referenced_file(file)
                .map(Resolved::Secret)
                .map_err(|why| missing(format!("cannot read the file {}: {why}", file.display()))),
        }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(value) => f.write_str(value),
            Self::Env { env } => write!(f, "env:{env}"),
            Self::File { file } => write!(f, "file:{}", file.display()),
        }
    }
}
