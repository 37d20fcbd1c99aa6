//! Reports as text for people. `--json` needs nothing of this: the values serialise themselves.

use std::io::{self, Write};

use super::findings::Finding;
use super::position::Positions;
use super::repair::{Action, Repair};
use super::report::{DeploymentReport, OffsetRange, Report, TopicPartitionReport};
use crate::report::grouped;
use crate::table::print::{Table, printable};

/// Findings of one code that are shown; `--json` lists all.
const SHOWN: usize = 20;

/// Prints an audit.
///
/// # Errors
/// `out` fails.
pub fn print_report(report: &Report, out: &mut impl Write) -> io::Result<()> {
    print_topic_partitions(report, out)?;
    for deployment in &report.deployments {
        print_deployment(deployment, out)?;
    }
    print_findings("noted", &report.notes, false, out)?;
    print_findings("WRONG", &report.findings, true, out)?;
    let total = &report.total;
    let verdict = match report.findings.len() {
        0 => "clean".to_owned(),
        1 => "1 finding".to_owned(),
        count => format!("{} findings", grouped(count as u64)),
    };
    writeln!(
        out,
        "{}: {verdict}: {} topic partitions, {} records, {} files with {} bytes",
        printable(&report.pipeline),
        grouped(report.topic_partitions.len() as u64),
        grouped(total.records),
        grouped(total.files),
        grouped(total.bytes)
    )
}

fn print_topic_partitions(report: &Report, out: &mut impl Write) -> io::Result<()> {
    if report.topic_partitions.is_empty() {
        return writeln!(out, "no checkpoints");
    }
    let names =
        ["topic partition", "offsets", "messages", "written", "filtered", "dead letters", "files", "records", "newest"];
    let mut table = Table::new(&names, &[2, 3, 4, 5, 6, 7]);
    for of in &report.topic_partitions {
        let rows = &of.rows;
        table.row(vec![
            printable(&format!("{}/{}", of.topic, of.topic_partition)),
            covered(of),
            grouped(rows.messages),
            grouped(rows.written),
            grouped(rows.filtered),
            grouped(rows.dead_lettered),
            grouped(of.files + of.dead_letter_files),
            grouped(of.records),
            of.written_at.clone().unwrap_or_default(),
        ]);
    }
    let rows = &report.total.rows;
    table.row(vec![
        "all".to_owned(),
        String::new(),
        grouped(rows.messages),
        grouped(rows.written),
        grouped(rows.filtered),
        grouped(rows.dead_lettered),
        grouped(report.total.files),
        grouped(report.total.records),
        String::new(),
    ]);
    table.print(out)?;
    if report.total.replayed > 0 {
        writeln!(out, "{} dead letters were replayed; they count as what they became", grouped(report.total.replayed))?;
    }
    writeln!(out)
}

/// The covered ranges; of many only the first and the last.
fn covered(of: &TopicPartitionReport) -> String {
    let text = |range: &OffsetRange| format!("{}..{}", range.start, range.next);
    match of.covered.as_slice() {
        [] => of.next.map_or_else(|| "none".to_owned(), |next| format!("{next}..{next}")),
        [one] => text(one),
        [first, second] => format!("{}, {}", text(first), text(second)),
        [first, between @ .., last] => format!("{}, {} more, {}", text(first), between.len(), text(last)),
    }
}

fn print_deployment(deployment: &DeploymentReport, out: &mut impl Write) -> io::Result<()> {
    let rows = &deployment.rows;
    writeln!(
        out,
        "deployment {}: {} messages: {} written, {} filtered, {} dead letters",
        deployment.deployment,
        grouped(rows.messages),
        grouped(rows.written),
        grouped(rows.filtered),
        grouped(rows.dead_lettered)
    )?;
    for transform in &deployment.transforms {
        let (name, version) = (printable(&transform.name), printable(&transform.version));
        writeln!(out, "  {name} {version}, sha256 {}", printable(&transform.sha256))?;
    }
    if deployment.transforms.is_empty() {
        writeln!(out, "  no transforms")?;
    }
    writeln!(out)
}

fn print_findings(title: &str, findings: &[Finding], helps: bool, out: &mut impl Write) -> io::Result<()> {
    let mut shown = 0;
    let mut before: Option<&Finding> = None;
    for finding in findings {
        let is_same = before.is_some_and(|b| b.code == finding.code && b.topic_partition == finding.topic_partition);
        shown = if is_same { shown + 1 } else { 1 };
        before = Some(finding);
        if shown > SHOWN {
            continue;
        }
        let (of, path) = (printable(&finding.topic_partition), printable(&finding.path));
        let of = if of.is_empty() { of } else { format!("{of}: ") };
        writeln!(out, "{title}  {}  {of}{path}", finding.code.name())?;
        writeln!(out, "       {}", printable(&finding.message))?;
        if helps && shown == 1 {
            writeln!(out, "       what to do: {}", finding.code.what_to_do())?;
        }
        if shown == SHOWN {
            writeln!(out, "       (more of this kind are left out here; --json lists all)")?;
        }
    }
    if findings.is_empty() { Ok(()) } else { writeln!(out) }
}

/// Prints what a repair would do, or did.
///
/// # Errors
/// `out` fails.
pub fn print_repair(repair: &Repair, out: &mut impl Write) -> io::Result<()> {
    if repair.actions.is_empty() {
        return writeln!(out, "{}: nothing to repair", printable(&repair.pipeline));
    }
    for action in &repair.actions {
        let told = match action {
            Action::Publish { topic_partition, record, files } => {
                format!("{topic_partition}: publish record {record}: {files} staged files, then its mark")
            }
            Action::Sweep { topic_partition, below, files } => {
                format!("{topic_partition}: delete {files} staged files of take-overs below fence {below}")
            }
            Action::Accept { topic_partition, files } => {
                writeln!(out, "{}: record as removed on purpose:", printable(topic_partition))?;
                files.iter().try_for_each(|path| writeln!(out, "  {}", printable(path)))?;
                continue;
            }
        };
        writeln!(out, "{}", printable(&told))?;
    }
    let end = if repair.done { "done" } else { "nothing was done yet: --yes does it" };
    writeln!(out, "{}: {end}", printable(&repair.pipeline))
}

/// Prints positions.
///
/// # Errors
/// `out` fails.
pub fn print_positions(positions: &Positions, out: &mut impl Write) -> io::Result<()> {
    if positions.topic_partitions.is_empty() {
        return writeln!(out, "{}: no checkpoints", printable(&positions.pipeline));
    }
    let names = ["topic partition", "next", "lag", "earliest", "latest", "group", "record", "fence", "written"];
    let mut table = Table::new(&names, &[1, 2, 3, 4, 5, 6, 7]);
    for of in &positions.topic_partitions {
        let number = |number: Option<i64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
        let source = of.source.as_ref();
        table.row(vec![
            printable(&format!("{}/{}", of.topic, of.topic_partition)),
            of.next.to_string(),
            number(of.lag),
            number(source.map(|source| source.earliest)),
            number(source.and_then(|source| source.latest)),
            number(source.and_then(|source| source.committed)),
            of.newest.to_string(),
            of.fence.map_or_else(|| "-".to_owned(), |fence| fence.to_string()),
            of.written_at.clone(),
        ]);
    }
    table.print(out)?;
    for of in &positions.topic_partitions {
        if let Some(problem) = &of.problem {
            writeln!(out, "not certain: {}/{}: {}", printable(&of.topic), of.topic_partition, printable(problem))?;
        }
    }
    Ok(())
}
