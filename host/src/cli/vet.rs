//! `wasmill vet PIPELINE FILE`: the process of its own in which `push` looks at a module.

use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use wasmill::config::Config;
use wasmill::error::{Error, ErrorKind, Result};
use wasmill::transform::TransformEngine;
use wasmill::transform::vet::{self, Vetted, Vetting};

/// How long the other process may take, waiting included.
const PATIENCE: Duration = Duration::from_secs(180);

/// More than this is not read of what it prints.
const MOST_WORDS: u64 = 1 << 20;

/// How often it is asked whether it is done.
const GLANCE: Duration = Duration::from_millis(20);

/// Look at a module in this process, whose time and memory are limited; print what it is as JSON.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The pipeline file, whose columns the module is described for.
    pipeline: PathBuf,
    /// The module.
    module: PathBuf,
}

impl Arguments {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let config = Config::load(&self.pipeline)?;
        let bytes = std::fs::read(&self.module)
            .map_err(|error| Error::config(format!("cannot read {}", self.module.display())).because(error))?;
        vet::limit_this_process()?;
        let engine = TransformEngine::new(super::module_cache().as_deref())?;
        let vetted = vet::vet(&engine, &bytes, &config.schema.arrow)?;
        serde_json::to_writer(std::io::stdout().lock(), &vetted)?;
        std::io::stdout().flush()?;
        Ok(ExitCode::SUCCESS)
    }
}

/// What looks at modules for the columns of a pipeline.
pub(super) fn by_this_program(pipeline: PathBuf) -> Vetting {
    Arc::new(move |module| in_another_process(&pipeline, module))
}

/// Looks at a module in another process. What that says of a module which may not be uploaded is printed by it.
pub(super) fn in_another_process(pipeline: &Path, module: &Path) -> Result<Vetted> {
    let program =
        std::env::current_exe().map_err(|error| Error::fatal("cannot tell where this program lies").because(error))?;
    let mut child = Command::new(program)
        .args(["--log-level", "error", "vet"])
        .args([pipeline, module])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| Error::fatal("cannot start the process that looks at the module").because(error))?;
    let (out, err) = (drain(child.stdout.take()), drain(child.stderr.take()));
    let started = Instant::now();
    let lost = |error| Error::fatal("lost the process that looks at the module").because(error);
    let status = loop {
        match child.try_wait().map_err(lost)? {
            Some(status) => break status,
            None if started.elapsed() < PATIENCE => std::thread::sleep(GLANCE),
            None => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(too_much());
            }
        }
    };
    let said = |pipe: JoinHandle<String>| pipe.join().unwrap_or_default();
    let (out, err) = (said(out), said(err));
    match status.code() {
        Some(0) => serde_json::from_str(&out)
            .map_err(|error| Error::fatal("the process that looked at the module said something else").because(error)),
        // Its own words: the first line without "error: ", and what to do.
        Some(code) => {
            let kind = if code == i32::from(crate::WRONG_USAGE) { ErrorKind::Config } else { ErrorKind::Fatal };
            let (what, hint) = words(&err);
            let error = Error::new(kind, what);
            Err(if hint.is_empty() { error } else { error.hint(hint) })
        }
        None => Err(too_much()),
    }
}

/// Reads a pipe to its end on a thread of its own, so that a full one holds nobody up.
fn drain(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = Vec::new();
        if let Some(pipe) = pipe {
            let _ = pipe.take(MOST_WORDS).read_to_end(&mut text);
        }
        String::from_utf8_lossy(&text).into_owned()
    })
}

fn words(printed: &str) -> (String, String) {
    const HINT: &str = "  what to do: ";
    let (what, hint) = match printed.find(HINT) {
        Some(at) => (&printed[..at], &printed[at + HINT.len()..]),
        None => (printed, ""),
    };
    (what.trim().trim_start_matches("error: ").to_owned(), hint.trim().to_owned())
}

fn too_much() -> Error {
    Error::config(format!(
        "the module takes more than {} s or {} GiB to be compiled and described, so it was stopped",
        vet::CPU.as_secs(),
        vet::MEMORY >> 30
    ))
    .hint("fewer and smaller functions; `describe` must come back at once")
}
