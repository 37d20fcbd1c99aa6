//! `wasmill token NAME --role ROLE`.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::process::ExitCode;

use wasmill::admin::tokens::{Role, Token, Tokens};
use wasmill::error::Error;

/// Make a token for the admin API: its secret is printed once, its hash goes into the file of tokens.
///
/// Hosts read the file again within a second when it changes, so a token is taken back by deleting its entry.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  wasmill token grafana --role viewer --into tokens.toml
  wasmill token release-job --role deployer --pipeline listen-events --into tokens.toml")]
pub(crate) struct Arguments {
    /// Whose it is; the audit names it.
    name: String,
    /// viewer (status, metrics), payloads (guests' logs), deployer (changes what runs) or admin (all). Again for more.
    #[arg(long = "role", value_name = "ROLE", required = true)]
    roles: Vec<Role>,
    /// Only for this pipeline. Again for more.
    #[arg(long = "pipeline", value_name = "NAME")]
    pipelines: Vec<String>,
    /// Append the entry to this file. Without it the entry is printed.
    #[arg(long, value_name = "FILE")]
    into: Option<PathBuf>,
}

impl Arguments {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let pipelines = (!self.pipelines.is_empty()).then_some(self.pipelines);
        let (token, secret) = Token::generate(&self.name, self.roles, pipelines);
        let entry = token.as_toml();
        let mut out = std::io::stdout().lock();
        if let Some(path) = &self.into {
            let before = if path.exists() { std::fs::read_to_string(path) } else { Ok(String::new()) };
            let cannot = |error| Error::config(format!("cannot write {}", path.display())).because(error);
            let after = format!("{}{entry}", before.map_err(cannot)?);
            // Written as a whole: a host may read it at any moment.
            let beside = path.with_extension("toml.new");
            let mut file = std::fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&beside)
                .map_err(cannot)?;
            file.write_all(after.as_bytes()).map_err(cannot)?;
            if let Err(error) = Tokens::open(&beside) {
                std::fs::remove_file(&beside).map_err(cannot)?;
                return Err(error.into());
            }
            std::fs::rename(&beside, path).map_err(cannot)?;
            writeln!(out, "{secret}")?;
        } else {
            writeln!(out, "{entry}\n# the token itself, which is nowhere else:\n# {secret}")?;
        }
        out.flush()?;
        Ok(ExitCode::SUCCESS)
    }
}
