//! The process of one pipeline.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rustix::process::{Pid, Signal, kill_process};

use crate::error::{Error, Result};

/// How many of its last words are kept, in lines, and how long one may be, in bytes.
const LAST_WORDS: usize = 12;
const LONGEST_WORD: usize = 500;

/// What runs a pipeline: a program that takes the path of a pipeline file as its last argument. It ends when its standard input
/// is closed, so that it does not outlive a server that was killed, and takes lines like `log warn,wasmill=debug` there.
#[derive(Clone)]
pub struct Program {
    /// Its path.
    pub path: PathBuf,
    /// What stands before the file.
    pub arguments: Vec<OsString>,
    /// Environment variables beside those of this process.
    pub variables: Vec<(String, String)>,
    /// Where what it logs goes.
    pub log: Log,
    /// What it logs.
    pub levels: Arc<Levels>,
}

/// What processes log, as `WASMILL_LOG` has it; `None`: as they are started.
#[derive(Default)]
pub struct Levels(Mutex<Option<Arc<str>>>);

impl Levels {
    /// What they log from now on.
    pub fn set(&self, levels: &str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(levels.into());
    }

    pub(super) fn get(&self) -> Option<Arc<str>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Takes a pipeline's name, and a line that its process wrote to standard error.
pub type Log = Arc<dyn Fn(&str, &str) + Send + Sync>;

/// A process that runs a pipeline.
pub(super) struct Process {
    child: Child,
    /// Ends when the process has closed its standard error.
    words: JoinHandle<VecDeque<String>>,
}

impl Process {
    /// Starts the pipeline whose file has this text, in `directory`, which is its own.
    ///
    /// # Errors
    /// The file cannot be written, or the program cannot be started.
    pub(super) fn start(program: &Program, name: &str, file: &str, directory: &Path) -> Result<Self> {
        let path = directory.join("pipeline.toml");
        let cannot = |error| Error::fatal(format!("cannot write {}", path.display())).because(error);
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        options.open(&path).and_then(|mut to| to.write_all(file.as_bytes())).map_err(cannot)?;
        let mut child = Command::new(&program.path)
            .args(&program.arguments)
            .arg(&path)
            .envs(program.variables.iter().map(|(name, value)| (name, value)))
            .envs(program.levels.get().map(|levels| ("WASMILL_LOG", levels.to_string())))
            .current_dir(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| Error::fatal(format!("cannot start {}", program.path.display())).because(error))?;
        let (said, log, name) = (child.stderr.take(), Arc::clone(&program.log), name.to_owned());
        let words = std::thread::spawn(move || {
            let mut last = VecDeque::new();
            let Some(said) = said else { return last };
            for line in BufReader::new(said).split(b'\n').map_while(std::result::Result::ok) {
                let line = String::from_utf8_lossy(&line);
                log(&name, &line);
                if last.len() == LAST_WORDS {
                    last.pop_front();
                }
                last.push_back(line.chars().take(LONGEST_WORD).collect());
            }
            last
        });
        Ok(Self { child, words })
    }

    /// Its number in the system.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Tells it what to log from now on.
    pub(super) fn log(&mut self, levels: &str) {
        if let Some(input) = &mut self.child.stdin {
            // One that ends hears nothing any more.
            let _ = writeln!(input, "log {levels}");
        }
    }

    /// Asks it to finish its checkpoint and end.
    pub(super) fn ask_to_end(&self) {
        // A process that has ended is not waited for yet, so the number is still its own.
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
    }

    /// Ends it at once. Nothing is lost or doubled by that: the open range is read again.
    pub(super) fn kill(&mut self) {
        let _ = self.child.kill();
    }

    /// How it ended, if it has.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// What a process that has ended said at last: its error where it told one, else its last line.
    pub(super) fn last_words(self) -> String {
        let mut words = self.words.join().unwrap_or_default();
        let error = words.iter().rposition(|line| line.starts_with("error: "));
        match error {
            Some(at) => words.drain(at..).map(|line| line.trim().to_owned()).collect::<Vec<_>>().join("; "),
            None => words.pop_back().unwrap_or_else(|| "it said nothing".to_owned()),
        }
    }
}
