//! `wasmill verify` on the simulated table: at the end of each run, and in some also beside the hosts, one operation at a
//! time, while they write, crash and are taken over from. It must never raise a false alarm.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use wasmill::audit::{self, Code, Finding, Options, Report, Subject};
use wasmill::runtime::Runtime as _;
use wasmill::storage::{Location, Storage};

use super::books::{Books, Kind, Violation};
use super::contents::AUDITOR;
use super::disk::{Disk, Mounted};
use super::executor::{HostRuntime, Simulator};
use super::reader::{DEAD_LETTERS, TABLE};

/// Who audits one world.
pub(super) struct Auditor {
    simulator: Arc<Simulator>,
    disk: Arc<Disk>,
    books: Arc<Books>,
    is_at_work: Arc<AtomicBool>,
}

impl Auditor {
    pub(super) fn new(simulator: &Arc<Simulator>, disk: &Arc<Disk>, books: &Arc<Books>) -> Self {
        Self {
            simulator: Arc::clone(simulator),
            disk: Arc::clone(disk),
            books: Arc::clone(books),
            is_at_work: Arc::default(),
        }
    }

    fn subject(&self) -> Subject {
        let storage: Arc<dyn Storage> = Arc::new(Mounted { disk: Arc::clone(&self.disk), caller: AUDITOR });
        let location =
            |path: &str| Location { storage: Arc::clone(&storage), path: path.to_owned(), url: path.to_owned() };
        Subject {
            pipeline: "simulated".to_owned(),
            checkpoints: location("/checkpoints"),
            table: location(TABLE),
            dead_letters: location(DEAD_LETTERS),
            first_kept: None,
        }
    }

    /// Begins an audit beside the hosts, unless one is going on. One that an outage ends has no answer.
    pub(super) fn begin(&self) {
        if self.is_at_work.swap(true, Ordering::Relaxed) {
            return;
        }
        let (subject, disk, books) = (self.subject(), Arc::clone(&self.disk), Arc::clone(&self.books));
        let is_at_work = Arc::clone(&self.is_at_work);
        let runtime = HostRuntime { simulator: Arc::clone(&self.simulator), host: AUDITOR.host };
        runtime.spawn(Box::pin(async move {
            disk.note(|| "an audit begins".to_owned());
            let report = audit::audit(&subject, &Options::default()).await;
            is_at_work.store(false, Ordering::Relaxed);
            let Ok(report) = report else { return disk.hit("audit", "no answer") };
            disk.hit("audit", "answered");
            disk.note(|| "an audit ends".to_owned());
            if let Some(finding) = wrong(&report, &books) {
                books.violated(Kind::Audit, format!("an audit beside the hosts found: {finding:#?}"));
            }
        }));
    }

    /// The audit of a world in which nothing happens any more.
    pub(super) fn agrees(&self) -> Result<(), Violation> {
        // Nothing goes wrong any more and nothing sleeps, so that it needs no executor of ours.
        let report = futures::executor::block_on(audit::audit(&self.subject(), &Options::default()));
        let report = report.map_err(|error| Violation::new(Kind::Audit, format!("the audit failed: {error}")))?;
        let rows = report.total.rows;
        if rows.messages != rows.written + rows.filtered + rows.dead_lettered {
            return Err(Violation::new(Kind::Audit, format!("replayed rows count twice: {rows:?}")));
        }
        match wrong(&report, &self.books) {
            Some(finding) => Err(Violation::new(Kind::Audit, format!("the audit found: {finding:#?}"))),
            None => Ok(()),
        }
    }
}

/// What an audit says and should not. A job downstream leaves files missing, which it must say; nothing else.
fn wrong<'a>(report: &'a Report, books: &Books) -> Option<&'a Finding> {
    let is_true = |finding: &Finding| {
        matches!(finding.code, Code::FileMissing | Code::FileMoved) && books.is_taken(&finding.path)
    };
    report.findings.iter().find(|finding| !is_true(finding))
}
