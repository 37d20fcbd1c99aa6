//! `wasmill completions SHELL`.

use std::io;
use std::process::ExitCode;

use clap_complete::Shell;

/// Print a script that completes wasmill's commands in a shell.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  wasmill completions bash > ~/.local/share/bash-completion/completions/wasmill")]
pub(crate) struct Arguments {
    /// The shell to complete in.
    shell: Shell,
}

impl Arguments {
    pub(crate) fn run(self, mut command: clap::Command) -> anyhow::Result<ExitCode> {
        // Written to memory first: the generator panics when the pipe that it writes to is closed.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "wasmill", &mut script);
        io::Write::write_all(&mut io::stdout(), &script)?;
        Ok(ExitCode::SUCCESS)
    }
}
