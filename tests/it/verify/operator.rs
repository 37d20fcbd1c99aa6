//! What an operator does: finish publishing, sweep, accept removals, move positions; first through the library, then by the
//! commands themselves.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use wasmill::audit::repair::{Action, Plan};
use wasmill::audit::{self, Code, Options, Report, Subject};
use wasmill::chain::operator::Permission;
use wasmill::chain::{Chain, ChainError, TakeOver};
use wasmill::checkpoint::{Note, Record};
use wasmill::error::Error;

use super::{block_on, codes, files, look, writer};
use crate::binary::{self, run, stderr, stdout};
use crate::golden;

fn note() -> Note {
    Note { who: "me@here".to_owned(), why: "a test".to_owned(), accepted: Vec::new() }
}

fn newest(chain: &Arc<Chain>) -> Record {
    let found = block_on(chain.newest()).expect("the storage answers");
    found.expect("a record").0
}

fn notes(report: &Report) -> Vec<Code> {
    report.notes.iter().map(|note| note.code).collect()
}

/// A table with one topic partition, its writer still alive.
fn table(directory: &Path) -> (Subject, Arc<Chain>, Box<TakeOver>) {
    let subject = writer::subject(directory);
    let (chain, taken) = block_on(async {
        let chain = writer::chain(&subject, 0);
        let mut taken = writer::take_over(&chain).await;
        writer::write(&mut taken).await;
        writer::write(&mut taken).await;
        (chain, taken)
    });
    (subject, chain, taken)
}

fn plan(subject: &Subject) -> Vec<Action> {
    let facts = block_on(audit::gather(subject, &Options::default())).expect("the storage answers");
    Plan::safe(subject, &facts).show().actions.clone()
}

fn repair(subject: &Subject, chain: &Chain) {
    block_on(async {
        let facts = audit::gather(subject, &Options::default()).await.expect("the storage answers");
        let repair = Plan::safe(subject, &facts).carry_out(&chain.runtime, "me", "").await.expect("it can be done");
        assert!(repair.done);
    });
}

fn accept(subject: &Subject, chain: &Chain, paths: &[String]) -> Result<(), Error> {
    block_on(async {
        let facts = audit::gather(subject, &Options::default()).await?;
        Plan::accept(subject, &facts, paths)?.carry_out(&chain.runtime, "me@here", "retention").await?;
        Ok(())
    })
}

/// As a crash between commit and publish leaves it: one file staged again, no mark. Returns its staged path and its target.
fn unpublish(chain: &Arc<Chain>) -> (PathBuf, PathBuf) {
    let record = newest(chain);
    let (staged, target) = (PathBuf::from(&record.files[1].staged), PathBuf::from(&record.files[1].target));
    fs::create_dir_all(staged.parent().expect("a directory")).expect("a directory");
    fs::rename(&target, &staged).expect("it is published");
    let mark = wasmill::checkpoint::mark_name(record.sequence, record.id);
    fs::remove_file(Path::new(&chain.directory()).join(mark)).expect("it is marked");
    (staged, target)
}

#[test]
fn what_a_fenced_writer_leaves_is_told_and_swept() {
    let directory = tempfile::tempdir().expect("a directory");
    let (subject, chain, zombie) = table(directory.path());
    let mut owner = block_on(writer::take_over(&chain));
    let staged = |taken: &TakeOver| block_on(writer::filled(taken).close().expect("it ends").staged()).expect("staged");
    let (left, open) = (staged(&zombie), staged(&owner));
    let report = look(&subject);
    assert!(report.clean, "{:#?}", report.findings);
    assert_eq!(notes(&report), [Code::StagedLeftover; 2], "in the table and in the dead letters");
    assert_eq!(plan(&subject), [Action::Sweep { topic_partition: "events/0".into(), below: owner.fence, files: 3 }]);
    assert!(Path::new(&left.files[0].staged).exists(), "a plan does nothing");
    repair(&subject, &chain);
    assert!(left.files.iter().all(|file| !Path::new(&file.staged).exists()));
    assert!(open.files.iter().all(|file| Path::new(&file.staged).exists()), "the owner's files stay");
    assert!(plan(&subject).is_empty());
    block_on(owner.commit(open)).expect("the owner was not disturbed");
    assert!(look(&subject).notes.is_empty());
}

#[test]
fn what_a_crash_left_unpublished_is_told_and_published() {
    let directory = tempfile::tempdir().expect("a directory");
    let (subject, chain, mut owner) = table(directory.path());
    let (staged, target) = unpublish(&chain);
    let report = look(&subject);
    assert!(report.clean, "{:#?}", report.findings);
    assert_eq!(notes(&report), [Code::InFlight]);
    let newest = newest(&chain).sequence;
    assert_eq!(plan(&subject), [Action::Publish { topic_partition: "events/0".into(), record: newest, files: 1 }]);
    repair(&subject, &chain);
    assert!(target.exists() && !staged.exists());
    assert!(look(&subject).notes.is_empty() && plan(&subject).is_empty());
    block_on(writer::write(&mut owner));
}

#[test]
fn a_lost_file_stops_until_it_is_accepted() {
    let directory = tempfile::tempdir().expect("a directory");
    let (subject, chain, _) = table(directory.path());
    let (staged, target) = unpublish(&chain);
    // As long as it can be published, nobody may give it up.
    let accepted = vec![target.to_string_lossy().into_owned()];
    let refused = block_on(chain.accept_removed(Note { accepted: accepted.clone(), ..note() }));
    assert!(matches!(refused, Err(ChainError::Stopped(error)) if error.to_string().contains("is there")));
    fs::remove_file(&staged).expect("it is staged");

    assert_eq!(codes(&look(&subject)), [Code::FileLost]);
    assert!(plan(&subject).is_empty(), "there is no safe answer to that");
    assert!(matches!(block_on(chain.take_over(None)), Err(ChainError::Stopped(_))));
    accept(&subject, &chain, &[]).expect("it is accepted");
    let report = look(&subject);
    assert!(report.clean, "{:#?}", report.findings);
    assert_eq!(notes(&report), [Code::RemovalAccepted]);
    assert!(report.notes[0].message.contains("me@here (retention)"), "{}", report.notes[0].message);
    let mut owner = block_on(writer::take_over(&chain));
    block_on(writer::write(&mut owner));
    assert!(look(&subject).clean);
}

#[test]
fn only_what_is_missing_can_be_accepted() {
    let directory = tempfile::tempdir().expect("a directory");
    let (subject, chain, mut owner) = table(directory.path());
    let published = files(&directory.path().join("table"));
    let paths: Vec<String> = published.iter().take(3).map(|path| path.to_string_lossy().into_owned()).collect();
    fs::remove_file(&paths[0]).expect("it is there");
    fs::remove_file(&paths[1]).expect("it is there");
    let refused = accept(&subject, &chain, &paths[2..]).expect_err("it is there");
    assert!(refused.to_string().contains("is not a file that is missing"), "{refused}");
    accept(&subject, &chain, &paths[..1]).expect("it is missing");
    let report = look(&subject);
    let missing: Vec<&str> = report.of(Code::FileMissing).map(|finding| finding.path.as_str()).collect();
    assert_eq!(missing, [&paths[1]]);
    accept(&subject, &chain, &[]).expect("it is missing");
    assert!(look(&subject).clean);
    // The writer was fenced by that, and takes over again.
    let staged = block_on(writer::filled(&owner).close().expect("it ends").staged()).expect("staged");
    assert!(matches!(block_on(owner.commit(staged)), Err(ChainError::Lost(_))));
    owner = block_on(writer::take_over(&chain));
    block_on(writer::write(&mut owner));
    assert!(look(&subject).clean);
}

#[test]
fn a_moved_position_is_where_a_writer_goes_on() {
    let directory = tempfile::tempdir().expect("a directory");
    let (subject, chain, mut owner) = table(directory.path());
    let (next, nothing) = (owner.next, Permission::default());
    let all = Permission { loss: true, duplicates: true };
    for (to, permission, told) in [
        (next + 5, nothing, "5 of them) would never be read"),
        (next - 5, nothing, "5 of them) are committed already"),
        (next - 5, Permission { loss: true, ..nothing }, "--allow-duplicates"),
        (next + 5, Permission { duplicates: true, ..nothing }, "--allow-loss"),
    ] {
        match block_on(chain.move_position(to, permission, note())) {
            Err(ChainError::Stopped(error)) => {
                let error = format!("{error} {}", error.what_to_do().unwrap_or_default());
                assert!(error.contains(told), "{error}");
            }
            other => panic!("{other:?}"),
        }
    }
    // Backwards to the very start of an earlier range: its rows come again, under names of their own.
    for (to, pass) in [(0, 1), (next + 100, 1), (writer::OFFSETS, 2)] {
        let moved = block_on(chain.move_position(to, all, note())).expect("it is allowed");
        assert_eq!(moved.to, to);
        let staged = block_on(writer::filled(&owner).close().expect("it ends").staged()).expect("staged");
        assert!(matches!(block_on(owner.commit(staged)), Err(ChainError::Lost(_))), "the writer was fenced");
        owner = block_on(writer::take_over(&chain));
        assert_eq!((owner.next, owner.pass), (to, pass));
        block_on(writer::write(&mut owner));
    }
    let report = look(&subject);
    assert!(report.clean, "{:#?}", report.findings);
    assert_eq!(notes(&report).iter().filter(|code| **code == Code::PositionMoved).count(), 3);
    assert_eq!(report.total.files, 5 * 3);
    let of = &report.topic_partitions[0];
    assert_eq!((of.gaps.len(), of.overlaps.len()), (1, 1), "{of:#?}");
    assert_eq!(of.overlaps[0].next, 2 * writer::OFFSETS);
}

/// A pipeline of simulated events on a local disk.
struct Pipeline {
    directory: tempfile::TempDir,
}

impl Pipeline {
    fn new() -> Self {
        let pipeline = Self { directory: tempfile::tempdir().expect("a directory") };
        pipeline.write(3_000);
        pipeline
    }

    fn path(&self) -> String {
        self.directory.path().join("pipeline.toml").to_string_lossy().into_owned()
    }

    fn write(&self, events: u64) {
        let base = self.directory.path().display();
        let text = format!(
            "[pipeline]\nname = \"simulated\"\n[source.eventsim]\ntopic = \"listen_events\"\ntopic_partitions = 2\n\
             events = {events}\nseed = 7\nfaults = 0.05\n[schema]\nts = \"long!\"\nartist = \"string\"\n\
             [table]\nlocation = \"{base}/table\"\nevent_time = {{ column = \"ts\", unit = \"ms\" }}\n\
             partition_by = [\"year\"]\n[dead_letters]\nlocation = \"{base}/dead_letters\"\n\
             [checkpoint]\nlocation = \"{base}/checkpoints\"\n"
        );
        fs::write(self.path(), text).expect("it can be written");
    }

    fn run(&self) {
        let output = run(&["run", &self.path()]);
        assert!(output.status.success(), "{}", stderr(&output));
    }

    fn command(&self, words: &[&str], arguments: &[&str], wanted: i32) -> String {
        let path = self.path();
        let all: Vec<&str> = words.iter().chain(&[path.as_str()]).chain(arguments).copied().collect();
        let output = run(&all);
        let told = format!("{}{}", stdout(&output), stderr(&output));
        assert_eq!(output.status.code(), Some(wanted), "{all:?}: {told}");
        told
    }

    fn json(&self, words: &[&str], arguments: &[&str], wanted: i32) -> Value {
        let arguments = [arguments, &["--json"]].concat();
        let told = self.command(words, &arguments, wanted);
        serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told}"))
    }

    /// What was printed, without what differs from run to run.
    fn plain(&self, told: &str) -> String {
        let told = told.replace(&*self.directory.path().to_string_lossy(), "<directory>");
        let all: Vec<&str> = told.split_inclusive([' ', '\n']).collect();
        let trimmed = |at: usize| all.get(at).map_or("", |word| word.trim_end_matches([' ', '\n', ',']));
        let words = all.iter().enumerate().map(|(at, word)| {
            let (text, space) = word.split_at(word.trim_end_matches([' ', '\n', ',', ':']).len());
            let is_time = text.len() >= 20 && text.starts_with("20") && text.contains('T') && text.ends_with('Z');
            let is_number = !text.is_empty() && text.chars().all(|c| c.is_ascii_digit() || c == ',');
            // Sizes of files follow the encoder's version.
            let is_size = is_number && (trimmed(at + 1) == "bytes" || (at > 0 && trimmed(at - 1) == "says"));
            let mut text = match (is_time, is_size) {
                (true, _) => "<time>".to_owned(),
                (_, true) => "<bytes>".to_owned(),
                _ if text.contains('@') => "<operator>".to_owned(),
                _ => text.to_owned(),
            };
            if let Some((_, day)) = text.split_once("/day=") {
                text = text.replace(&day[..10], "<day>");
            }
            text + space
        });
        words.collect()
    }
}

#[test]
fn the_commands_tell_what_is_and_do_what_is_asked() {
    let pipeline = Pipeline::new();
    pipeline.run();
    golden::check("verify/clean.txt", &pipeline.plain(&pipeline.command(&["verify"], &[], 0)));
    let report = pipeline.json(&["verify"], &["--deep"], 0);
    assert_eq!((report["clean"].as_bool(), report["total"]["rows"]["messages"].as_u64()), (Some(true), Some(3_000)));

    let shown = pipeline.json(&["offsets", "show"], &[], 0);
    assert_eq!(shown["topic_partitions"][1]["next"], 1_500, "{shown}");
    assert!(pipeline.command(&["offsets", "show"], &[], 0).contains("listen_events/1"));
    let set = |arguments: &[&str], wanted: i32| {
        let all = [&["--topic-partition", "listen_events/0", "--why", "a test"], arguments].concat();
        pipeline.command(&["offsets", "set"], &all, wanted)
    };
    assert!(set(&["--to", "1400"], 2).contains("100 of them"));
    assert!(set(&["--to", "1400", "--allow-duplicates"], 0).contains("nothing was done yet"));
    assert!(set(&["--to", "latest", "--allow-loss"], 2).contains("is not known"));
    assert!(set(&["--to", "1400", "--allow-duplicates", "--yes"], 0).contains("done: record"));
    pipeline.write(4_000);
    pipeline.run();
    let report = pipeline.json(&["verify"], &["--deep"], 0);
    assert_eq!(report["total"]["rows"]["messages"], 4_100, "a hundred were read again");
    assert_eq!(report["notes"][0]["code"], "position-moved");

    let parquet = |part: &str| -> Vec<PathBuf> {
        let is_parquet = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "parquet");
        files(&pipeline.directory.path().join(part)).into_iter().filter(is_parquet).collect()
    };
    let table = parquet("table");
    fs::remove_file(&table[0]).expect("it is there");
    fs::copy(&table[1], table[1].with_file_name("part-copy.parquet")).expect("a copy");
    let letters = parquet("dead_letters");
    fs::write(&letters[0], b"PAR1").expect("it can be written");
    golden::check("verify/broken.txt", &pipeline.plain(&pipeline.command(&["verify"], &[], 1)));
    let report = pipeline.json(&["verify"], &[], 1);
    let found: Vec<&str> =
        report["findings"].as_array().expect("a list").iter().filter_map(|f| f["code"].as_str()).collect();
    assert_eq!(found.len(), 3, "{report:#}");
    let removed = table[0].to_string_lossy();
    pipeline.command(&["repair"], &["--accept-removed"], 2);
    let told = pipeline.command(&["repair"], &["--accept-removed", "--why", "a test"], 0);
    assert!(told.contains(&*removed) && told.contains("nothing was done yet"), "{told}");
    let done = pipeline.json(&["repair"], &["--accept-removed", &removed, "--why", "a test", "--yes"], 0);
    assert_eq!(done["done"], true);
    assert!(pipeline.command(&["repair"], &[], 0).contains("nothing to repair"));
    let found = pipeline.json(&["verify"], &[], 1)["findings"].as_array().expect("a list").len();
    assert_eq!(found, 2, "the removed one is accepted");
    assert!(binary::root().join("host/docs/verify.md").exists());
}
