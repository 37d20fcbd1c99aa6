//! `wasmill verify`, `repair` and `offsets`: every corruption of a table is found, a table that is in order is clean, also
//! beside a living writer, and what an operator does is done and shown.

mod corruptions;
mod live;
mod operator;
mod writer;

use std::path::{Path, PathBuf};

use wasmill::audit::{self, Code, Options, Report, Subject};

/// Runs a future to its end.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("tokio");
    tokio.block_on(future)
}

/// A deep audit.
fn look(subject: &Subject) -> Report {
    let options = Options { deep: true, ..Options::default() };
    block_on(audit::audit(subject, &options)).expect("the storage answers")
}

fn codes(report: &Report) -> Vec<Code> {
    let mut codes: Vec<Code> = report.findings.iter().map(|finding| finding.code).collect();
    codes.dedup();
    codes
}

/// All files below a directory, by path.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(&directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() { open.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

/// Copies a directory with all that is in it.
fn copy(from: &Path, to: &Path) {
    for path in files(from) {
        let target = to.join(path.strip_prefix(from).expect("it lies below"));
        std::fs::create_dir_all(target.parent().expect("a parent")).expect("a directory");
        std::fs::copy(&path, target).expect("a copy");
    }
}
