//! From facts to a report. Pure: the same facts give the same report.

use std::collections::{BTreeMap, BTreeSet};

use super::facts::{ChainFacts, Facts, PendingFact};
use super::findings::{Code, Finding};
use super::judge_files::FileJudge;
use super::offsets;
use super::replays::Replays;
use super::report::{DeploymentRange, DeploymentReport, OffsetRange, Report, TopicPartitionReport, Totals};
use super::view::ChainView;
use crate::checkpoint::{ChainName, DeploymentRecord, Record, RecordKind, RowCounts, mark_name, newest, parse_name};
use crate::report::grouped;
use crate::source::{KnownOffsets, TopicPartition};

/// Concludes what the facts allow to conclude, and nothing beyond.
pub fn judge(facts: &Facts) -> Report {
    let views: BTreeMap<&TopicPartition, ChainView<'_>> = facts
        .chains
        .iter()
        .map(|(topic_partition, chain)| (topic_partition, ChainView::new(&facts.pipeline, topic_partition, chain)))
        .collect();
    let mut findings = Vec::new();
    let mut topic_partitions = Vec::new();
    for (topic_partition, view) in &views {
        findings.extend(view.findings.iter().cloned());
        let chain = &facts.chains[*topic_partition];
        let source = facts.source.get(*topic_partition);
        let mut judging = Judging { topic_partition, view, chain, findings: &mut findings };
        topic_partitions.push(judging.report(source));
    }
    let mut report = Report {
        pipeline: facts.pipeline.clone(),
        clean: true,
        deep: facts.deep,
        topic_partitions,
        deployments: deployments(&views),
        total: Totals::default(),
        findings: Vec::new(),
        notes: Vec::new(),
    };
    let mut files = FileJudge::new(facts, &views);
    files.judge();
    for topic_partition in &mut report.topic_partitions {
        let name = TopicPartition::new(topic_partition.topic.as_str(), topic_partition.topic_partition);
        if let Some(counts) = files.counts.get(&name) {
            topic_partition.files = counts.files;
            topic_partition.dead_letter_files = counts.dead_letter_files;
            topic_partition.bytes = counts.bytes;
        }
    }
    findings.append(&mut files.findings);
    report.conclude(findings);
    report
}

struct Judging<'a> {
    topic_partition: &'a TopicPartition,
    view: &'a ChainView<'a>,
    chain: &'a ChainFacts,
    findings: &'a mut Vec<Finding>,
}

impl Judging<'_> {
    fn find(&mut self, code: Code, path: &str, message: String) {
        let topic_partition = self.topic_partition.to_string();
        self.findings.push(Finding { code, topic_partition, path: path.to_owned(), message });
    }

    fn record_path(&self, record: &Record) -> String {
        format!("{}/{}", self.chain.directory, crate::checkpoint::record_name(record.sequence))
    }

    fn report(&mut self, source: Option<&KnownOffsets>) -> TopicPartitionReport {
        let view = self.view;
        let mut report = TopicPartitionReport {
            topic: self.topic_partition.topic.to_string(),
            topic_partition: self.topic_partition.partition,
            newest: view.newest().map(|record| record.sequence),
            topic_identity: view.newest().map(|record| record.topic_identity.clone()).unwrap_or_default(),
            next: view.next(),
            written_at: view.newest().map(|record| time(record.written_at_ms)),
            records: view.counting.len() as u64,
            archived: view.archived as u64,
            source: source.cloned(),
            ..TopicPartitionReport::default()
        };
        self.ranges(&mut report);
        for record in view.counting.values() {
            add(&mut report, record);
            self.rows_close(record);
            self.operators_record(record);
        }
        for record in &view.void {
            let message = format!("record {} of take-over {} never counted", record.sequence, record.take_over);
            let path = self.record_path(record);
            self.find(Code::RecordVoid, &path, message);
        }
        for (record, why) in Replays::new(view).contradictions {
            let path = self.record_path(record);
            self.find(Code::ReplayContradicts, &path, why);
        }
        report.in_flight = self.in_flight();
        report.leftovers = self.leftovers();
        if let Some(source) = source {
            self.compare(source);
        }
        report
    }

    fn ranges(&mut self, report: &mut TopicPartitionReport) {
        let of = |kind: RecordKind| {
            let records = self.view.counting.values().filter(move |record| record.kind == kind);
            records.map(|record| OffsetRange { start: record.start, next: record.next })
        };
        let messages: Vec<OffsetRange> = of(RecordKind::Messages).collect();
        report.covered = offsets::union(&messages);
        report.gaps = offsets::gaps(&messages);
        report.overlaps = offsets::overlaps(&messages);
        let unknown = self.view.unknown.iter().map(|&(start, next)| OffsetRange { start, next });
        // Moved backwards to before the chain's first offset, it has what lies ahead of it still to read.
        let ahead = self.view.next().map(|next| OffsetRange { start: next, next: i64::MAX });
        let left_out: Vec<OffsetRange> =
            of(RecordKind::Gap).chain(of(RecordKind::Moved)).chain(unknown.clone()).chain(ahead).collect();
        let read_again: Vec<OffsetRange> = of(RecordKind::Moved)
            .map(|moved| OffsetRange { start: moved.next, next: moved.start })
            .chain(unknown.map(|range| OffsetRange { start: range.next, next: range.start }))
            .collect();
        let directory = self.chain.directory.clone();
        for OffsetRange { start, next } in offsets::without(&report.gaps, &left_out) {
            self.find(Code::OffsetsGap, &directory, format!("offsets {start}..{next} are in no record"));
        }
        for OffsetRange { start, next } in offsets::without(&report.overlaps, &read_again) {
            self.find(Code::OffsetsOverlap, &directory, format!("offsets {start}..{next} are in more than one record"));
        }
    }

    /// A transform may make several rows of one, never none without saying so.
    fn rows_close(&mut self, record: &Record) {
        let rows = record.rows;
        let told = rows.written + rows.filtered + rows.dead_lettered;
        let may_multiply = !record.deployment.transforms.is_empty();
        if told < rows.messages || (told > rows.messages && !may_multiply) {
            let message = format!(
                "record {} read {} messages and tells of {} written, {} filtered, {} dead letters",
                record.sequence,
                grouped(rows.messages),
                grouped(rows.written),
                grouped(rows.filtered),
                grouped(rows.dead_lettered)
            );
            let path = self.record_path(record);
            self.find(Code::RowsDoNotClose, &path, message);
        }
    }

    fn operators_record(&mut self, record: &Record) {
        let (start, next) = (record.start, record.next);
        let (code, what) = match record.kind {
            RecordKind::Messages => return,
            RecordKind::Gap => (Code::RecordedGap, format!("offsets {start}..{next} had expired and are lost")),
            RecordKind::Moved if next >= start => {
                (Code::PositionMoved, format!("moved forwards: offsets {start}..{next} were left out"))
            }
            RecordKind::Moved => {
                (Code::PositionMoved, format!("moved backwards: offsets {next}..{start} are read again"))
            }
            RecordKind::Accepted => {
                let files = record.note.as_ref().map_or(0, |note| note.accepted.len());
                (Code::RemovalAccepted, format!("{files} files may be missing"))
            }
            RecordKind::Replayed => {
                let RowCounts { messages, written, filtered, dead_lettered } = record.rows;
                let what = format!(
                    "{} dead letters replayed through deployment {}: {} rows written, {} filtered, {} dead letters again",
                    grouped(messages),
                    record.deployment.number,
                    grouped(written),
                    grouped(filtered),
                    grouped(dead_lettered)
                );
                (Code::LettersReplayed, what)
            }
        };
        let why = record.note.as_ref().map(|note| format!(", by {} ({})", note.who, note.why)).unwrap_or_default();
        let message = format!("record {}, {}: {what}{why}", record.sequence, time(record.written_at_ms));
        let path = self.record_path(record);
        self.find(code, &path, message);
    }

    /// The record that was the newest and not marked at the first look. Returns how many of its files are not published.
    fn in_flight(&mut self) -> u64 {
        let first = newest(self.chain.names[0].iter().map(String::as_str));
        let Some(record) = first.and_then(|first| self.view.counting.get(&first).copied()) else { return 0 };
        let names = &self.chain.names[1];
        // Only what is as it was before and after the look at its files is judged; otherwise its writer is at work.
        let is_still = newest(names.iter().map(String::as_str)) == first
            && !names.contains(&mark_name(record.sequence, record.id));
        let mut staged = 0;
        let accepted = accepted(self.view);
        for PendingFact { file, staged: there, target } in &self.chain.pending {
            let lengths = [(&file.staged, there), (&file.target, target)];
            for (path, length) in lengths {
                if let Some(length) = length.filter(|length| *length != file.bytes) {
                    let message = format!("it has {length} bytes, record {} says {}", record.sequence, file.bytes);
                    self.find(Code::FileWrongLength, path, message);
                }
            }
            match (there, target) {
                (Some(_), None) => staged += 1,
                (None, None) if is_still && !accepted.contains(file.target.as_str()) => {
                    let message = format!(
                        "record {} (offsets {}..{}) names it with {} rows, and neither it nor the staged file {} exists",
                        record.sequence, record.start, record.next, file.rows, file.staged
                    );
                    self.find(Code::FileLost, &file.target, message);
                }
                _ => {}
            }
        }
        if staged > 0 && is_still {
            let count = self.chain.pending.len();
            let message =
                format!("record {}: {staged} of {count} files are staged and not published yet", record.sequence);
            let path = self.record_path(record);
            self.find(Code::InFlight, &path, message);
        }
        staged
    }

    fn leftovers(&mut self) -> u64 {
        let Some((fence, take_over)) = self.view.fence(self.chain) else { return 0 };
        let mut count = 0;
        for staging in &self.chain.staging {
            if staging.fence < fence && staging.take_over != take_over && !staging.files.is_empty() {
                count += staging.files.len() as u64;
                let message = format!("{} files with {} bytes", staging.files.len(), grouped(staging.bytes));
                self.find(Code::StagedLeftover, &staging.path, message);
            }
        }
        for name in &self.chain.names[0] {
            if matches!(parse_name(name), Some(ChainName::Temporary(sequence)) if sequence < fence) {
                count += 1;
                let path = format!("{}/{name}", self.chain.directory);
                self.find(Code::StagedLeftover, &path, "the temporary file of a record".to_owned());
            }
        }
        count
    }

    /// The source was asked after the last look at the chain, so it can only be further.
    fn compare(&mut self, source: &KnownOffsets) {
        let Some(newest) = self.view.newest() else { return };
        let directory = self.chain.directory.clone();
        if source.identity != newest.topic_identity {
            let message =
                format!("its records are of topic `{}`, Kafka has `{}`", newest.topic_identity, source.identity);
            self.find(Code::TopicMadeAnew, &directory, message);
            return;
        }
        if newest.next < source.earliest {
            let message = format!("the next offset is {}, the first that is left is {}", newest.next, source.earliest);
            self.find(Code::BehindRetention, &directory, message);
        }
        if source.latest.is_some_and(|latest| newest.next > latest) {
            let latest = source.latest.unwrap_or_default();
            let message = format!("the next offset is {}, Kafka ends at {latest}", newest.next);
            self.find(Code::BeyondEnd, &directory, message);
        }
    }
}

/// Counts a record in. Dead letters that were replayed are no letters any more but what they turned into: moved, not doubled.
fn add(report: &mut TopicPartitionReport, record: &Record) {
    if record.kind != RecordKind::Replayed {
        report.rows.add(&record.rows);
        return;
    }
    report.replayed += record.rows.messages;
    report.rows.add(&RowCounts { messages: 0, ..record.rows });
    // More were never set aside than were replayed, or the replay contradicts itself, which is told.
    report.rows.dead_lettered = report.rows.dead_lettered.saturating_sub(record.rows.messages);
}

/// Targets that operators have accepted as gone.
pub(super) fn accepted<'a>(view: &ChainView<'a>) -> BTreeSet<&'a str> {
    let notes = view.counting.values().filter_map(|record| record.note.as_ref());
    notes.flat_map(|note| note.accepted.iter().map(String::as_str)).collect()
}

fn deployments(views: &BTreeMap<&TopicPartition, ChainView<'_>>) -> Vec<DeploymentReport> {
    let mut found: Vec<DeploymentReport> = Vec::new();
    for (topic_partition, view) in views {
        let topic_partition = topic_partition.to_string();
        let has_rows = |record: &&&Record| match record.kind {
            RecordKind::Messages => !record.is_fence(),
            kind => kind == RecordKind::Replayed,
        };
        for record in view.counting.values().filter(has_rows) {
            let DeploymentRecord { number, transforms } = &record.deployment;
            let is_this = |known: &DeploymentReport| known.deployment == *number && known.transforms == *transforms;
            // There are few of them.
            let at = found.iter().position(is_this).unwrap_or_else(|| {
                let (deployment, transforms, rows) = (*number, transforms.clone(), RowCounts::default());
                found.push(DeploymentReport { deployment, transforms, rows, ranges: Vec::new() });
                found.len() - 1
            });
            let report = &mut found[at];
            report.rows.add(&record.rows);
            if record.kind == RecordKind::Replayed {
                continue;
            }
            match report.ranges.last_mut() {
                Some(last) if last.topic_partition == topic_partition && last.next == record.start => {
                    last.next = record.next;
                }
                _ => report.ranges.push(DeploymentRange {
                    topic_partition: topic_partition.clone(),
                    start: record.start,
                    next: record.next,
                }),
            }
        }
    }
    found
}

fn time(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| format!("{ms} ms"), |time| time.to_string())
}
