//! A replay's answer as text for people. `--json` needs nothing of this.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::answer::{Answer, Counts, LeftAlone};
use crate::report::grouped;
use crate::table::print::{Table, printable};

/// Prints what was replayed, or what would be.
///
/// # Errors
/// `out` fails.
pub fn print_answer(answer: &Answer, out: &mut impl Write) -> io::Result<()> {
    if answer.topic_partitions.is_empty() {
        return writeln!(out, "{}: no dead letters that match are left", printable(&answer.pipeline));
    }
    let names = ["topic partition", "replayed", "written", "filtered", "dead letters again", "left alone", "records"];
    let mut table = Table::new(&names, &[1, 2, 3, 4, 5]);
    for part in &answer.topic_partitions {
        let name = printable(&format!("{}/{}", part.topic, part.topic_partition));
        table.row(line(name, &part.counts, records(&part.records)));
    }
    table.row(line("all".to_owned(), &answer.total, String::new()));
    table.print(out)?;
    print_reasons("replayed, by the reason for which they were set aside:", &answer.total.by_reason, out)?;
    print_reasons("dead letters again, by their new reason:", &answer.total.again, out)?;
    print_left_alone(&answer.total.left_alone, out)?;
    for part in &answer.topic_partitions {
        if let Some(problem) = &part.problem {
            writeln!(out, "\n{}/{}: {}", printable(&part.topic), part.topic_partition, printable(problem))?;
        }
    }
    let count = grouped(answer.total.replayed);
    match answer.done {
        true => writeln!(out, "\n{count} dead letters went through deployment {}", answer.deployment),
        false => writeln!(
            out,
            "\n{count} dead letters would go through deployment {}; nothing was done yet: --yes does it",
            answer.deployment
        ),
    }
}

fn line(name: String, counts: &Counts, records: String) -> Vec<String> {
    let numbers = [counts.replayed, counts.written, counts.filtered, counts.dead_lettered, counts.left_alone.count()];
    [name].into_iter().chain(numbers.map(grouped)).chain([records]).collect()
}

/// The first and the last.
fn records(records: &[u64]) -> String {
    match records {
        [] => String::new(),
        [one] => one.to_string(),
        [first, .., last] => format!("{first} to {last}"),
    }
}

fn print_reasons(title: &str, reasons: &BTreeMap<String, u64>, out: &mut impl Write) -> io::Result<()> {
    if reasons.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{title}")?;
    reasons.iter().try_for_each(|(reason, count)| writeln!(out, "{:>10} {}", grouped(*count), printable(reason)))
}

fn print_left_alone(left: &LeftAlone, out: &mut impl Write) -> io::Result<()> {
    let why = [
        (left.no_payload, "have no payload"),
        (left.several_rows, "may be in the table in part: their messages led to several rows"),
        (left.file_gone, "lie in files that are gone or were rewritten"),
    ];
    if left.count() > 0 {
        writeln!(out, "\nleft alone:")?;
    }
    let told = why.into_iter().filter(|(count, _)| *count > 0);
    told.into_iter().try_for_each(|(count, why)| writeln!(out, "{:>10} {why}", grouped(count)))
}
