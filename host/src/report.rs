//! What a run tells its user: counters while it goes on ([`Progress`]), the account at its end ([`Summary`]).
//!
//! Plain data: the pipeline fills it, the command line prints it. Nothing here decides anything, and nothing in the
//! program reads a counter back to decide something.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::time::Duration;

use serde::Serialize;

/// Counters of a run that goes on. Relaxed atomics: each is right by itself, together they are a blurred picture.
///
/// They count work as it is done, so they may include a range that is not committed yet.
#[derive(Debug, Default)]
pub struct Progress {
    /// Messages taken from the source.
    pub read: AtomicU64,
    /// Rows written to files of the table.
    pub written: AtomicU64,
    /// Rows that a transform dropped.
    pub filtered: AtomicU64,
    /// Rows and messages set aside.
    pub dead_lettered: AtomicU64,
    /// Messages between the positions and the ends of all owned topic partitions; negative while unknown.
    pub lag: AtomicI64,
    /// Part files open at this moment.
    pub open_files: AtomicU64,
    /// Topic partitions owned at this moment.
    pub topic_partitions: AtomicU64,
    /// Ranges committed.
    pub checkpoints: AtomicU64,
}

/// Why a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// Every topic partition reached the end that it had at the start.
    CaughtUp,
    /// The source is exhausted.
    Finished,
    /// SIGTERM or Ctrl-C; the last range was committed.
    Stopped,
    /// The table gets new columns; the last range without them was committed.
    Evolved,
}

/// From which step, for which reason: how dead letters are counted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeadLetterCause {
    /// Name of the transform; `None`: the decoder or the table.
    pub transform: Option<String>,
    /// The reason's code.
    pub reason: String,
}

/// A topic partition that stopped with an error while others went on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoppedTopicPartition {
    /// Its topic.
    pub topic: String,
    /// Its number.
    pub topic_partition: i32,
    /// The error and its causes, joined by `: `.
    pub error: String,
}

/// The account of a run: what it committed, and what that cost.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// `[pipeline] name`.
    pub pipeline: String,
    /// Why it ended.
    pub ended: Ended,
    /// Topic partitions that it ever owned.
    pub topic_partitions: u64,
    /// Messages read in committed ranges. Equals written + filtered + dead-lettered (unless a transform makes many
    /// rows of one).
    pub read: u64,
    /// Rows in the table.
    pub written: u64,
    /// Rows dropped by a transform.
    pub filtered: u64,
    /// Dead letters by cause.
    pub dead_letters: BTreeMap<DeadLetterCause, u64>,
    /// Files published in the table.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Ranges committed.
    pub checkpoints: u64,
    /// Topic partitions that stopped with an error while the others went on.
    pub stopped: Vec<StoppedTopicPartition>,
    /// From start to end.
    pub elapsed: Duration,
    /// CPU time of the process, user and system, from start to end.
    pub cpu: Duration,
    /// Largest resident memory of the process, in bytes; 0 where the system does not tell.
    pub peak_memory: u64,
}

impl Summary {
    /// This run and the one behind it, which went on where it ended, as one.
    pub fn and_then(self, next: Self) -> Self {
        let mut dead_letters = self.dead_letters;
        for (cause, count) in next.dead_letters {
            *dead_letters.entry(cause).or_default() += count;
        }
        Self {
            pipeline: next.pipeline,
            ended: next.ended,
            topic_partitions: self.topic_partitions.max(next.topic_partitions),
            read: self.read + next.read,
            written: self.written + next.written,
            filtered: self.filtered + next.filtered,
            dead_letters,
            files: self.files + next.files,
            bytes: self.bytes + next.bytes,
            checkpoints: self.checkpoints + next.checkpoints,
            stopped: next.stopped,
            elapsed: self.elapsed + next.elapsed,
            cpu: self.cpu + next.cpu,
            peak_memory: self.peak_memory.max(next.peak_memory),
        }
    }

    /// All dead letters.
    pub fn dead_lettered(&self) -> u64 {
        self.dead_letters.values().sum()
    }

    /// Messages per second of elapsed time.
    pub fn events_per_second(&self) -> f64 {
        ratio(self.read as f64, self.elapsed.as_secs_f64())
    }

    /// Microseconds of CPU time per message.
    pub fn cpu_us_per_event(&self) -> f64 {
        ratio(self.cpu.as_secs_f64() * 1e6, self.read as f64)
    }

    /// The summary as JSON, for `--json`: durations in seconds, sizes in bytes.
    pub fn to_json(&self) -> serde_json::Value {
        let dead_letters: Vec<_> = self
            .dead_letters
            .iter()
            .map(|(cause, count)| {
                serde_json::json!({ "transform": cause.transform, "reason": cause.reason, "count": count })
            })
            .collect();
        serde_json::json!({
            "pipeline": self.pipeline,
            "ended": self.ended,
            "topic_partitions": self.topic_partitions,
            "read": self.read,
            "written": self.written,
            "filtered": self.filtered,
            "dead_lettered": self.dead_lettered(),
            "dead_letters": dead_letters,
            "files": self.files,
            "bytes": self.bytes,
            "checkpoints": self.checkpoints,
            "stopped": self.stopped,
            "elapsed_seconds": self.elapsed.as_secs_f64(),
            "events_per_second": self.events_per_second(),
            "cpu_seconds": self.cpu.as_secs_f64(),
            "cpu_us_per_event": self.cpu_us_per_event(),
            "peak_memory_bytes": self.peak_memory,
        })
    }
}

fn ratio(a: f64, b: f64) -> f64 {
    if b > 0.0 { a / b } else { 0.0 }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ended = match self.ended {
            Ended::CaughtUp => "caught up",
            Ended::Finished => "source finished",
            Ended::Stopped => "stopped",
            Ended::Evolved => "the table gets new columns",
        };
        writeln!(f, "{}: {ended} after {:.1} s", self.pipeline, self.elapsed.as_secs_f64())?;
        let line = |f: &mut fmt::Formatter<'_>, name: &str, value: String| writeln!(f, "  {name:<16} {value:>14}");
        line(f, "read", grouped(self.read))?;
        line(f, "written", grouped(self.written))?;
        line(f, "filtered", grouped(self.filtered))?;
        line(f, "dead-lettered", grouped(self.dead_lettered()))?;
        for (cause, count) in &self.dead_letters {
            let from = cause.transform.as_deref().map(|name| format!(" ({name})")).unwrap_or_default();
            writeln!(f, "    {:<14} {:>14}  {}{from}", "", grouped(*count), cause.reason)?;
        }
        line(f, "files", grouped(self.files))?;
        line(f, "bytes", grouped(self.bytes))?;
        line(f, "checkpoints", grouped(self.checkpoints))?;
        line(f, "events/s", grouped(self.events_per_second().round() as u64))?;
        line(f, "CPU us per event", format!("{:.2}", self.cpu_us_per_event()))?;
        line(f, "peak memory", format!("{} MB", grouped(self.peak_memory / 1_000_000)))?;
        for stopped in &self.stopped {
            writeln!(f, "  stopped: {}/{}: {}", stopped.topic, stopped.topic_partition, stopped.error)?;
        }
        Ok(())
    }
}

/// A number with its digits in groups of three: `1,000,000`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// What this process has used so far, from `/proc/self`; zeroes where the system does not tell.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// CPU time, user and system, of all threads. Steps of 10 ms.
    pub cpu: Duration,
    /// Largest resident memory, in bytes.
    pub peak_memory: u64,
}

impl Usage {
    /// What this process has used so far.
    pub fn now() -> Self {
        let cpu = std::fs::read_to_string("/proc/self/stat").ok().and_then(|stat| cpu_of(&stat)).unwrap_or_default();
        let peak_memory =
            std::fs::read_to_string("/proc/self/status").ok().and_then(|status| peak_of(&status)).unwrap_or_default();
        Self { cpu, peak_memory }
    }
}

/// User and system time in a `/proc/PID/stat`. The kernel counts in ticks of 10 ms for user space, whatever its own are.
fn cpu_of(stat: &str) -> Option<Duration> {
    // The second field is the program's name in parentheses and may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis((user + system) * 10))
}

fn peak_of(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_come_in_groups() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn a_program_name_may_hold_spaces_and_parentheses() {
        let stat = "77 (a) b (c) S 1 77 77 0 -1 4194304 1 0 0 0 250 50 0 0 20 0 1 0 5 1 1";
        assert_eq!(cpu_of(stat), Some(Duration::from_secs(3)));
        assert_eq!(cpu_of("77 (a"), None);
        assert_eq!(peak_of("VmPeak:\t 9 kB\nVmHWM:\t   2048 kB\n"), Some(2 << 20));
    }

    #[test]
    fn this_process_uses_memory() {
        assert!(Usage::now().peak_memory > 0);
    }

    #[test]
    fn a_summary_of_nothing_divides_by_nothing() {
        let summary = Summary {
            pipeline: "p".into(),
            ended: Ended::Finished,
            topic_partitions: 0,
            read: 0,
            written: 0,
            filtered: 0,
            dead_letters: BTreeMap::new(),
            files: 0,
            bytes: 0,
            checkpoints: 0,
            stopped: vec![],
            elapsed: Duration::ZERO,
            cpu: Duration::ZERO,
            peak_memory: 0,
        };
        assert_eq!(summary.events_per_second(), 0.0);
        assert_eq!(summary.to_json()["cpu_us_per_event"], 0.0);
        assert!(summary.to_string().contains("source finished"));
    }
}
