//! The `wasmill` command: parse, run, print the error chain, choose the exit code.

mod allocator;
mod cli;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser as _;
use wasmill::error::{Error, ErrorKind};

/// Something failed while it was done.
const FAILED: u8 = 1;
/// The command line or a file of the user is wrong; nothing was done.
const WRONG_USAGE: u8 = 2;

fn main() -> ExitCode {
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(usage) => {
            // Help and version go to standard output, mistakes to standard error; clap knows which is which.
            let _ = usage.print();
            return if usage.use_stderr() { ExitCode::from(WRONG_USAGE) } else { ExitCode::SUCCESS };
        }
    };
    match cli.run() {
        Ok(code) => code,
        // The reader of a pipe has seen enough (`wasmill table head ... | head -1`).
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = print_chain(&error);
            ExitCode::from(exit_code(&error))
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let cause = error.chain().find_map(|cause| cause.downcast_ref::<io::Error>());
    cause.is_some_and(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

/// The error, its causes, and what the user can do.
fn print_chain(error: &anyhow::Error) -> io::Result<()> {
    let mut err = io::stderr().lock();
    writeln!(err, "error: {error}")?;
    for cause in error.chain().skip(1) {
        writeln!(err, "  caused by: {cause}")?;
    }
    let hint = error.chain().find_map(|cause| cause.downcast_ref::<Error>()?.what_to_do());
    if let Some(hint) = hint {
        writeln!(err, "  what to do: {hint}")?;
    }
    Ok(())
}

fn exit_code(error: &anyhow::Error) -> u8 {
    match error.chain().find_map(|cause| cause.downcast_ref::<Error>()).map(Error::kind) {
        Some(ErrorKind::Config) => WRONG_USAGE,
        _ => FAILED,
    }
}
