//! Whatever a chain goes through by its own rules, an audit of it is clean, at any moment between two steps; and whatever is
//! taken from it or put into it is found.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::facts::{ChainFacts, Facts, FileFact, Footer, Origin, Part, PendingFact};
use super::{Code, Report, judge};
use crate::checkpoint::{
    BadRecord, DeploymentRecord, FileRecord, Id, Note, Occasion, Record, RecordKind, ReplayedLetters, RowCounts,
    mark_name, record_name, target_name,
};
use crate::source::TopicPartition;

fn topic_partition() -> TopicPartition {
    TopicPartition::new("t", 3)
}

/// What a chain does next.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// Another take-over.
    Fence,
    /// A range of so many messages; of its rows, so many files.
    Range(u8, u8),
    /// Expired messages.
    Gap(u8),
    /// An operator's move: forwards, or backwards if negative.
    Move(i8),
    /// A range whose messages all become dead letters.
    Letters(u8),
    /// So many dead letters that are left, of one file, are replayed.
    Replay(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => Just(Step::Fence),
        4 => (1_u8..50, 0_u8..4).prop_map(|(messages, files)| Step::Range(messages, files)),
        1 => (1_u8..9).prop_map(Step::Gap),
        1 => (-20_i8..20).prop_filter("a move moves", |by| *by != 0).prop_map(Step::Move),
        1 => (1_u8..9).prop_map(Step::Letters),
        2 => (1_u8..6).prop_map(Step::Replay),
    ]
}

/// A chain as it grows.
struct Grown {
    records: Vec<Record>,
    take_over: u128,
}

impl Grown {
    fn new(steps: &[Step]) -> Self {
        let mut grown = Self { records: Vec::new(), take_over: 100 };
        grown.add(Step::Fence);
        steps.iter().for_each(|step| grown.add(*step));
        grown
    }

    fn blank(&self) -> Record {
        let last = self.records.last();
        let at = last.map_or(50, |last| last.next);
        let sequence = self.records.len() as u64;
        Record {
            format: 2,
            sequence,
            id: Id(1_000 + u128::from(sequence)),
            predecessor: last.map(|last| last.id),
            take_over: Id(self.take_over),
            pipeline: "p".into(),
            topic: "t".into(),
            topic_partition: 3,
            topic_identity: "identity".into(),
            start: at,
            next: at,
            rows: RowCounts::default(),
            files: Vec::new(),
            dead_letter_files: Vec::new(),
            deployment: DeploymentRecord::default(),
            watermark_us: None,
            written_at_ms: 1_800_000_000_000,
            kind: RecordKind::Messages,
            note: None,
            pass: last.map_or(0, |last| last.pass),
            replayed: Vec::new(),
        }
    }

    fn add(&mut self, step: Step) {
        let mut record = self.blank();
        match step {
            Step::Fence => {
                self.take_over += 1;
                record.take_over = Id(self.take_over);
            }
            Step::Range(messages, files) => {
                record.next = record.start + i64::from(messages) + i64::from(files);
                let written = u64::from(files) * 5;
                let messages = u64::from(messages).max(written);
                record.next = record.next.max(record.start + messages as i64);
                record.rows = RowCounts { messages, written, filtered: messages - written, dead_lettered: 0 };
                record.files = (0..usize::from(files)).map(|number| file(&record, number)).collect();
            }
            Step::Gap(by) => {
                record.kind = RecordKind::Gap;
                record.next += i64::from(by);
            }
            Step::Move(by) => {
                record.kind = RecordKind::Moved;
                record.next = (record.next + i64::from(by)).max(0);
                if record.next < record.start {
                    record.pass += 1;
                }
                record.note = Some(note());
            }
            Step::Letters(count) => {
                record.next += i64::from(count);
                let count = u64::from(count);
                record.rows = RowCounts { messages: count, dead_lettered: count, ..RowCounts::default() };
                record.dead_letter_files = vec![FileRecord { rows: count, ..letters(&record) }];
            }
            Step::Replay(most) => {
                let Some(replayed) = self.left(u64::from(most)) else { return };
                let count = replayed.count();
                (record.format, record.kind, record.note) = (3, RecordKind::Replayed, Some(note()));
                record.rows = RowCounts { messages: count, written: count, ..RowCounts::default() };
                record.files = vec![FileRecord { rows: count, ..file(&record, 0) }];
                record.replayed = vec![replayed];
            }
        }
        self.records.push(record);
        // Whoever reads after an operator has moved the position takes over for it.
        if matches!(step, Step::Move(_)) {
            self.add(Step::Fence);
        }
    }

    /// The first dead letters that are left of a file.
    fn left(&self, most: u64) -> Option<ReplayedLetters> {
        let replayed = |file: &FileRecord, row: u64| {
            let of = self.records.iter().flat_map(|record| &record.replayed).filter(|of| of.file == file.target);
            of.flat_map(|of| &of.rows).any(|(first, end)| (*first..*end).contains(&row))
        };
        let mut files = self.records.iter().flat_map(|record| &record.dead_letter_files);
        files.find_map(|file| {
            let rows: Vec<u64> = (0..file.rows).filter(|row| !replayed(file, *row)).take(most as usize).collect();
            (!rows.is_empty()).then(|| ReplayedLetters::new(&file.target, rows))
        })
    }

    /// What an audit sees of the first `first` records, at the second look of all, with `pruned` of them in the archive, the
    /// newest one of the first look marked or not.
    fn facts(&self, first: usize, pruned: usize, marked: bool) -> Facts {
        let mut chain = ChainFacts { directory: "/c/t/3".into(), ..ChainFacts::default() };
        let names = |upto: usize, last_is_marked: bool| {
            let mut names = Vec::new();
            for record in &self.records[pruned..upto] {
                names.push(record_name(record.sequence));
                if last_is_marked || record.sequence + 1 < upto as u64 {
                    names.push(mark_name(record.sequence, record.id));
                }
            }
            names
        };
        chain.names = [names(first, marked), names(self.records.len(), marked)];
        for record in &self.records[pruned..] {
            chain.records.insert(record.sequence, Ok(record.clone()));
        }
        if pruned > 0 {
            let lines = self.records[..pruned].iter().cloned().map(Ok).collect();
            chain.archives.insert(format!("{:020}-{:020}.jsonl", 0, pruned - 1), lines);
        }
        // Files of records that came behind the first look may be there or not.
        let mut files = Vec::new();
        for record in &self.records {
            let at = record.sequence as usize;
            let is_certain = at + 1 < first || (at + 1 == first && marked);
            let both = [(Part::Table, &record.files), (Part::DeadLetters, &record.dead_letter_files)];
            let all =
                both.into_iter().flat_map(|(part, of)| of.iter().enumerate().map(move |(n, file)| (part, n, file)));
            for (part, number, file) in all {
                if is_certain || number % 2 == 0 {
                    files.push(seen(record, part, number));
                }
                if at + 1 == first && !marked {
                    let (staged, target) =
                        if number % 2 == 0 { (None, Some(file.bytes)) } else { (Some(file.bytes), None) };
                    chain.pending.push(PendingFact { file: file.clone(), staged, target });
                }
            }
        }
        let chains = BTreeMap::from([(topic_partition(), chain)]);
        Facts { pipeline: "p".into(), chains, files, ..Facts::default() }
    }

    fn all(&self) -> Facts {
        self.facts(self.records.len(), self.records.len() / 2, true)
    }
}

fn note() -> Note {
    Note { who: "me".into(), why: "test".into(), accepted: Vec::new() }
}

fn occasion(record: &Record) -> Occasion {
    if record.kind == RecordKind::Replayed { Occasion::Replay(record.sequence) } else { Occasion::Pass(record.pass) }
}

fn letters(record: &Record) -> FileRecord {
    let name = target_name(&topic_partition(), record.start, 0, occasion(record));
    FileRecord { target: format!("/d/day=2026-11-01/{name}"), ..file(record, 0) }
}

fn file(record: &Record, number: usize) -> FileRecord {
    let name = target_name(&topic_partition(), record.start, number, occasion(record));
    FileRecord {
        staged: format!("/t/_staging/t/3/x/{}-{number}.staged", record.sequence),
        target: format!("/t/day={number}/{name}"),
        rows: 5,
        bytes: 700 + number as u64,
        min_event_time_us: None,
        max_event_time_us: None,
    }
}

/// The file as it lies in the table.
fn seen(record: &Record, part: Part, number: usize) -> FileFact {
    let file = &part.files(record)[number];
    let replay = (record.kind == RecordKind::Replayed).then(|| ("replay", record.sequence.to_string()));
    let pairs = [
        ("pipeline", record.pipeline.clone()),
        ("topic", record.topic.clone()),
        ("topic_partition", record.topic_partition.to_string()),
        ("start", record.start.to_string()),
        ("next", record.next.to_string()),
        ("file", number.to_string()),
        ("files", part.files(record).len().to_string()),
        ("deployment", "0".to_owned()),
        ("transforms", String::new()),
        ("take_over", record.take_over.to_string()),
    ];
    let values = pairs.into_iter().chain(replay).map(|(key, value)| (key.to_owned(), value)).collect();
    FileFact {
        part,
        path: file.target.clone(),
        bytes: file.bytes,
        footer: Footer::Ours(Origin { values, rows: file.rows }),
        rows: None,
    }
}

fn has(report: &Report, code: Code) -> bool {
    report.of(code).next().is_some()
}

fn chain(facts: &mut Facts) -> &mut ChainFacts {
    facts.chains.get_mut(&topic_partition()).unwrap()
}

#[test]
fn what_lies_ahead_of_a_chain_moved_to_before_its_beginning_is_no_gap() {
    let moved = Grown::new(&[Step::Range(1, 0), Step::Move(-12), Step::Range(5, 0)]);
    let report = judge(&moved.all());
    assert!(report.clean, "{:#?}", report.findings);
    assert!(report.findings.is_empty(), "{:#?}", report.findings);
}

proptest! {
    #[test]
    fn a_chain_by_the_rules_is_clean_whenever_one_looks(
        steps in prop::collection::vec(step(), 0..12),
        first in 0_usize..13,
        pruned in 0_usize..13,
        marked in any::<bool>(),
    ) {
        let grown = Grown::new(&steps);
        let first = first.min(grown.records.len());
        let pruned = pruned.min(first.saturating_sub(1));
        let report = judge(&grown.facts(first, pruned, marked));
        prop_assert!(report.clean, "{:#?}", report.findings);
        let written: u64 = grown.records.iter().map(|record| record.rows.written).sum();
        prop_assert_eq!(report.total.rows.written, written);
        let rows = report.total.rows;
        prop_assert_eq!(rows.messages, rows.written + rows.filtered + rows.dead_lettered);
        prop_assert_eq!(report.total.records, grown.records.len() as u64);
        let covered: i64 = report.topic_partitions[0].covered.iter().map(|range| range.next - range.start).sum();
        let explained = grown.records.iter().any(|record| record.kind == RecordKind::Moved);
        let read: i64 = grown.records.iter().filter(|r| r.kind == RecordKind::Messages).map(|r| r.next - r.start).sum();
        prop_assert!(covered == read || explained);
    }

    #[test]
    fn a_lost_file_is_missing_and_a_second_one_doubled(
        steps in prop::collection::vec(step(), 1..12),
        which in any::<prop::sample::Index>(),
    ) {
        let facts = Grown::new(&steps).all();
        prop_assume!(!facts.files.is_empty());
        let at = which.index(facts.files.len());
        let mut without = facts.clone();
        let gone = without.files.remove(at);
        let report = judge(&without);
        prop_assert_eq!(report.findings.len(), 1);
        prop_assert_eq!((report.findings[0].code, &report.findings[0].path), (Code::FileMissing, &gone.path));
        // The same file elsewhere: it was moved. There, too: it was copied.
        // Dead letters that are old enough may be gone.
        without.first_kept = Some("day=2026-11-02".to_owned());
        prop_assert_eq!(judge(&without).findings.len(), usize::from(gone.part == Part::Table));
        without.first_kept = Some("day=2026-11-01".to_owned());
        prop_assert_eq!(judge(&without).findings.len(), 1);
        let elsewhere = FileFact { path: "/t/day=9/other.parquet".into(), ..gone };
        without.files.push(elsewhere.clone());
        prop_assert_eq!(judge(&without).findings.iter().map(|f| f.code).collect::<Vec<_>>(), [Code::FileMoved]);
        let mut twice = facts.clone();
        twice.files.push(elsewhere);
        prop_assert_eq!(judge(&twice).findings.iter().map(|f| f.code).collect::<Vec<_>>(), [Code::FileDoubled]);
    }

    #[test]
    fn a_lost_record_is_missing(
        steps in prop::collection::vec(step(), 2..12),
        which in any::<prop::sample::Index>(),
    ) {
        let grown = Grown::new(&steps);
        let mut facts = grown.facts(grown.records.len(), 0, true);
        let gone = which.index(grown.records.len()) as u64;
        let chain = chain(&mut facts);
        chain.records.remove(&gone);
        chain.names.iter_mut().for_each(|names| names.retain(|name| *name != record_name(gone)));
        let report = judge(&facts);
        prop_assert!(has(&report, Code::RecordMissing), "{:#?}", report.findings);
        let lost = &grown.records[gone as usize];
        let had_files = !lost.files.is_empty() || !lost.dead_letter_files.is_empty();
        prop_assert_eq!(has(&report, Code::FileUnknown), had_files);
    }

    #[test]
    fn checkpoints_older_than_the_table_are_told(steps in prop::collection::vec(step(), 1..10), back in 1_usize..5) {
        let mut grown = Grown::new(&steps);
        grown.add(Step::Range(40, 2));
        let files = grown.all().files;
        let older = grown.records.len().saturating_sub(back).max(1);
        grown.records.truncate(older);
        let newest = grown.records[older - 1].next;
        let mut facts = grown.all();
        facts.files = files;
        let report = judge(&facts);
        prop_assert!(has(&report, Code::FileUnknown));
        let reached = facts.files.iter().filter_map(|file| match &file.footer {
            Footer::Ours(origin) => origin.next(),
            _ => None,
        });
        let is_behind = reached.max().is_some_and(|reached| reached > newest);
        prop_assert_eq!(has(&report, Code::CheckpointTooOld), is_behind);
    }
}

#[test]
fn a_replay_moves_letters_and_claims_each_once() {
    let steps = [Step::Letters(8), Step::Replay(3), Step::Fence, Step::Replay(2), Step::Range(5, 1)];
    let grown = Grown::new(&steps);
    let facts = grown.facts(grown.records.len(), 3, true);
    let report = judge(&facts);
    assert!(report.clean && has(&report, Code::LettersReplayed), "{:#?}", report.findings);
    assert_eq!((report.total.replayed, report.total.rows.dead_lettered), (5, 3));
    // Record 4 is the second replay; rows 3 and 4 are its own.
    for (file, rows, told) in [
        (None, vec![(2, 4)], "rows 2..3"),
        (None, vec![(7, 9)], "which has 8"),
        (Some("/d/day=2026-11-01/other.parquet"), vec![(0, 2)], "no earlier record names"),
    ] {
        let mut facts = facts.clone();
        let Some(Ok(record)) = chain(&mut facts).records.get_mut(&4) else { panic!("record 4 is there") };
        let replayed = &mut record.replayed[0];
        replayed.rows = rows;
        replayed.file = file.map_or_else(|| replayed.file.clone(), str::to_owned);
        let report = judge(&facts);
        let found: Vec<&str> = report.of(Code::ReplayContradicts).map(|finding| finding.message.as_str()).collect();
        assert!(found.len() == 1 && found[0].contains(told), "{told}: {found:?}");
    }
}

fn grown() -> Grown {
    Grown::new(&[Step::Range(20, 2), Step::Range(30, 1), Step::Fence, Step::Range(10, 2)])
}

#[test]
fn a_writer_at_work_is_no_finding_and_a_lost_file_is() {
    let grown = grown();
    let newest = grown.records.len();
    let report = judge(&grown.facts(newest, 1, false));
    assert!(report.clean && has(&report, Code::InFlight), "{:#?}", report.findings);
    assert_eq!(report.topic_partitions[0].in_flight, 1);
    // Neither here nor there, before and after: nobody is at work on it.
    let mut facts = grown.facts(newest, 1, false);
    let pending = &mut chain(&mut facts).pending[1];
    pending.staged = None;
    let lost = pending.file.target.clone();
    let report = judge(&facts);
    assert_eq!(report.of(Code::FileLost).map(|finding| finding.path.clone()).collect::<Vec<_>>(), [lost]);
    // But if the chain has gone on meanwhile, it was published and moved on by others in between.
    let mut facts = grown.facts(newest - 1, 1, false);
    chain(&mut facts).pending.iter_mut().for_each(|pending| (pending.staged, pending.target) = (None, None));
    assert!(judge(&facts).clean);
}

#[test]
fn a_void_record_is_told_by_its_successor() {
    let grown = grown();
    let mut facts = grown.facts(grown.records.len(), 3, true);
    let mut void = grown.records[2].clone();
    (void.id, void.take_over) = (Id(9), Id(8));
    let staged =
        FileRecord { target: "/t/day=7/void.parquet".into(), ..void.files.first().unwrap_or(&file(&void, 0)).clone() };
    void.files = vec![staged];
    chain(&mut facts).names[0].push(record_name(2));
    chain(&mut facts).records.insert(2, Ok(void.clone()));
    let report = judge(&facts);
    assert!(report.clean && has(&report, Code::RecordVoid), "{:#?}", report.findings);
    // Nothing of it may be in the table.
    facts.files.push(seen(&void, Part::Table, 0));
    let report = judge(&facts);
    let found: Vec<_> = report.of(Code::FileUnknown).map(|finding| finding.message.clone()).collect();
    assert!(found.len() == 1 && found[0].contains("never counted"), "{found:?}");
}

#[test]
fn what_contradicts_is_told() {
    type Change = fn(&mut Facts);
    fn record(facts: &mut Facts, sequence: u64) -> &mut Record {
        match chain(facts).records.get_mut(&sequence) {
            Some(Ok(record)) => record,
            other => panic!("{other:?}"),
        }
    }
    fn footer(facts: &mut Facts) -> &mut Origin {
        match &mut facts.files[0].footer {
            Footer::Ours(origin) => origin,
            other => panic!("{other:?}"),
        }
    }
    let cases: &[(Code, Change)] = &[
        (Code::RecordDamaged, |facts| {
            let bad = BadRecord::Unreadable("x".into());
            chain(facts).records.insert(4, Err(bad));
        }),
        (Code::RecordUnknownFormat, |facts| {
            chain(facts).records.insert(4, Err(BadRecord::UnknownFormat(9)));
        }),
        (Code::ArchiveDamaged, |facts| {
            let archive = chain(facts).archives.values_mut().next().unwrap();
            archive[0] = Err(BadRecord::Unreadable("x".into()));
        }),
        (Code::ArchiveDamaged, |facts| {
            chain(facts).archives.values_mut().next().unwrap().pop();
        }),
        (Code::RecordMissing, |facts| chain(facts).archives.clear()),
        (Code::RecordMissing, |facts| chain(facts).names[0].push(mark_name(77, Id(77)))),
        (Code::ChainBroken, |facts| record(facts, 4).predecessor = Some(Id(5))),
        (Code::ChainBroken, |facts| record(facts, 4).start += 1),
        (Code::OffsetsGap, |facts| record(facts, 4).start += 1),
        (Code::OffsetsOverlap, |facts| record(facts, 4).start -= 1),
        (Code::RecordForeign, |facts| record(facts, 4).pipeline = "q".into()),
        (Code::RecordForeign, |facts| record(facts, 3).topic_identity = "older".into()),
        (Code::RowsDoNotClose, |facts| record(facts, 4).rows.filtered -= 1),
        (Code::RowsDoNotClose, |facts| record(facts, 4).rows.filtered += 1),
        (Code::FileWrongLength, |facts| facts.files[0].bytes -= 1),
        (Code::FileUnreadable, |facts| facts.files[0].footer = Footer::Damaged("x".into())),
        (Code::FooterContradicts, |facts| footer(facts).rows += 1),
        (Code::FooterContradicts, |facts| facts.files[0].footer = Footer::Foreign),
        (Code::FooterContradicts, |facts| {
            footer(facts).values.insert("next".into(), "1".into());
        }),
        (Code::FileForeign, |facts| {
            let foreign = FileFact { path: "/t/x.parquet".into(), footer: Footer::Foreign, ..facts.files[0].clone() };
            facts.files.push(foreign);
        }),
        (Code::FileForeign, |facts| {
            let mut other = FileFact { path: "/t/x.parquet".into(), ..facts.files[0].clone() };
            if let Footer::Ours(origin) = &mut other.footer {
                origin.values.insert("pipeline".into(), "q".into());
            }
            facts.files.push(other);
        }),
        (Code::LettersContradict, |facts| {
            let offsets = BTreeMap::from([(topic_partition(), (0, 51))]);
            facts.files[0].rows = Some(super::facts::Rows { count: 5, offsets, damaged: None });
        }),
    ];
    for (code, change) in cases {
        let grown = grown();
        let mut facts = grown.facts(grown.records.len(), 2, true);
        assert!(judge(&facts).clean);
        change(&mut facts);
        let report = judge(&facts);
        assert!(has(&report, *code) && !report.clean, "{}: {:#?}", code.name(), report.findings);
    }
}
