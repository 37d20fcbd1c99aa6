//! Writes simulated events to a file, to standard output, or to whoever delivers messages.
//!
//! The edge of the simulator: here is the clock, the waiting and the progress bar. Ends when enough events were
//! written, when the stream ends, or soon after `stop` is set, with everything written out. It does not know Kafka: messages
//! go through a function ([`Delivery`]), and `source::kafka_producer` is the one that sends them to brokers.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::random::{Purpose, Random};
use super::rate::{Pacer, Rate};
use super::{EventMeta, Fault, Simulator, SimulatorOptions, Topic};
use crate::error::{Error, Result};

/// What stands in a path for the name of the topic.
pub const TOPIC_IN_PATH: &str = "{topic}";

/// Events below this number are written without a progress bar.
const PROGRESS_FROM: u64 = 10_000;
/// The bar, the stop flag and the clock are looked at after so many events.
const GLANCE: u64 = 1_024;
/// The longest sleep before the stop flag is looked at again.
const NAP: Duration = Duration::from_millis(100);
/// Shorter waits are saved up: a sleep is not that exact.
const SHORTEST_SLEEP: Duration = Duration::from_millis(2);

/// What to write, how much of it and how fast.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OutputOptions {
    /// What is simulated.
    pub simulator: SimulatorOptions,
    /// Events to pass over first: the run goes on where one with so many events ended.
    pub skip: u64,
    /// Events to write. `None`: until the stream ends, or for ever.
    pub events: Option<u64>,
    /// How fast.
    pub rate: Rate,
    /// Whether to show a progress bar, if standard error is a terminal and there is much to write.
    pub progress: bool,
}

/// What was written.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OutputSummary {
    /// Events, also those without a payload.
    pub events: u64,
    /// Of each topic.
    pub topics: BTreeMap<Topic, u64>,
    /// Of each fault.
    pub faults: BTreeMap<Fault, u64>,
    /// Bytes of all payloads.
    pub bytes: u64,
    /// Transactions that were committed.
    pub committed: u64,
    /// Transactions that were aborted.
    pub aborted: u64,
    /// Event time of the first and the last event.
    pub times_ms: Option<(i64, i64)>,
    /// How long it took.
    pub elapsed: Duration,
}

/// Writes one line for each event to standard output. That its reader goes away (`| head`) is an end like any other.
pub fn to_stdout(options: &OutputOptions, stop: &AtomicBool) -> Result<OutputSummary> {
    let stdout = io::stdout();
    // Events on the screen and a bar would mix.
    let options = OutputOptions { progress: options.progress && !stdout.is_terminal(), ..options.clone() };
    let mut lines = Lines::new("standard output", stdout.lock());
    let summary = drive(&options, stop, |moment| lines.write(moment))?;
    lines.finish()?;
    Ok(summary)
}

/// Writes one line for each event to a file, which is made anew. With `{topic}` in the path, each topic has its own.
/// A null payload has no line.
pub fn to_file(options: &OutputOptions, path: &Path, stop: &AtomicBool) -> Result<OutputSummary> {
    let text = path.to_string_lossy();
    let one = !text.contains(TOPIC_IN_PATH);
    let mut files = Vec::new();
    for topic in Topic::ALL.into_iter().filter(|topic| options.simulator.topics.contains(topic)) {
        if files.is_empty() || !one {
            let path = if one { path.to_owned() } else { PathBuf::from(text.replace(TOPIC_IN_PATH, topic.name())) };
            let file = File::create(&path).map_err(|error| {
                Error::config(format!("cannot write to {}", path.display()))
                    .because(error)
                    .hint("name a file in a directory that exists and that you may write to")
            })?;
            files.push((topic, Lines::new(path.display().to_string(), file)));
        }
    }
    let summary = drive(options, stop, |moment| {
        for (topic, lines) in &mut files {
            match moment {
                Moment::Event(event) if !one && event.topic != *topic => {}
                _ => {
                    if lines.write(moment)?.is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    })?;
    files.iter_mut().try_for_each(|(_, lines)| lines.finish())?;
    Ok(summary)
}

/// The key of each message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Key {
    /// None: messages go round the topic partitions by turns.
    #[default]
    None,
    /// The user's number as text; none where the event shows no user. The producer chooses the topic partition by it.
    User,
}

/// How messages are made of events.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MessageOptions {
    /// Their key.
    pub key: Key,
    /// Send in transactions.
    pub transactions: Option<Transactions>,
}

/// How events are parted into transactions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Transactions {
    /// Events in each; at least 1. All copies are held in memory while a transaction that will be aborted is open.
    pub events: u64,
    /// The share of transactions that are first sent and aborted, then sent again and committed, 0 to 1. Who reads
    /// only what is committed sees every event once.
    pub abort_share: f64,
}

/// One message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outgoing<'a> {
    /// To this topic.
    pub topic: Topic,
    /// To this topic partition; `None`: chosen by the key.
    pub partition: Option<i32>,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The payload; `None` is a tombstone.
    pub payload: Option<&'a [u8]>,
    /// The message's time, which is the event's, in milliseconds since 1970.
    pub timestamp_ms: i64,
}

/// What a deliverer is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery<'a> {
    /// Send this.
    Send(Outgoing<'a>),
    /// Nothing to send now: a moment to look after other work.
    Idle,
    /// Begin a transaction.
    Begin,
    /// Commit it, with all that was sent since.
    Commit,
    /// Abort it.
    Abort,
}

/// Hands every event to `deliver` as a message. `partitions[topic as usize]` is how many topic partitions a topic has.
/// A transaction that is open at the end is committed. Whoever delivers flushes afterwards.
pub fn to_topics(
    options: &OutputOptions,
    messages: &MessageOptions,
    partitions: [i32; 4],
    stop: &AtomicBool,
    deliver: &mut dyn FnMut(Delivery<'_>) -> Result<()>,
) -> Result<OutputSummary> {
    if let Some(Transactions { events, abort_share }) = messages.transactions
        && (events == 0 || !(0.0..=1.0).contains(&abort_share))
    {
        return Err(Error::config("a transaction has at least one event, and the share of aborted ones is 0 to 1"));
    }
    let mut sender = Sender {
        messages,
        partitions,
        turns: [0; 4],
        random: Random::new(options.simulator.seed, Purpose::Transactions, 0, 1),
        open: None,
        committed: 0,
        aborted: 0,
        deliver,
    };
    let mut summary = drive(options, stop, |moment| {
        match moment {
            Moment::Event(event) => sender.send(event)?,
            Moment::Idle => (sender.deliver)(Delivery::Idle)?,
        }
        Ok(ControlFlow::Continue(()))
    })?;
    sender.close()?;
    (summary.committed, summary.aborted) = (sender.committed, sender.aborted);
    Ok(summary)
}

/// Makes messages and transactions.
struct Sender<'a> {
    messages: &'a MessageOptions,
    partitions: [i32; 4],
    /// Of each topic: messages so far, for sending them to the topic partitions by turns.
    turns: [u64; 4],
    random: Random,
    open: Option<Open>,
    committed: u64,
    aborted: u64,
    deliver: &'a mut dyn FnMut(Delivery<'_>) -> Result<()>,
}

/// The transaction that is open.
struct Open {
    events: u64,
    /// Where it will be aborted: what was sent, to be sent again.
    copies: Option<Vec<Copied>>,
}

struct Copied {
    topic: Topic,
    partition: Option<i32>,
    key: Option<Vec<u8>>,
    payload: Option<Vec<u8>>,
    timestamp_ms: i64,
}

impl Sender<'_> {
    fn send(&mut self, event: &Event<'_>) -> Result<()> {
        if let (Some(transactions), None) = (self.messages.transactions, &self.open) {
            (self.deliver)(Delivery::Begin)?;
            let copies = self.random.chance(transactions.abort_share).then(Vec::new);
            self.open = Some(Open { events: 0, copies });
        }
        let mut digits = itoa::Buffer::new();
        let user = event.meta.user_id.filter(|_| self.messages.key == Key::User);
        let key = user.map(|user| digits.format(user).as_bytes());
        let outgoing = Outgoing {
            topic: event.topic,
            partition: self.partition(event.topic),
            key,
            payload: event.payload,
            timestamp_ms: event.meta.time_ms,
        };
        (self.deliver)(Delivery::Send(outgoing))?;
        let Some(open) = &mut self.open else { return Ok(()) };
        open.events += 1;
        if let Some(copies) = &mut open.copies {
            copies.push(Copied {
                topic: outgoing.topic,
                partition: outgoing.partition,
                key: key.map(<[u8]>::to_vec),
                payload: outgoing.payload.map(<[u8]>::to_vec),
                timestamp_ms: outgoing.timestamp_ms,
            });
        }
        if self.messages.transactions.is_none_or(|transactions| open.events >= transactions.events) {
            self.close()?;
        }
        Ok(())
    }

    fn partition(&mut self, topic: Topic) -> Option<i32> {
        let (turn, count) = (&mut self.turns[topic as usize], self.partitions[topic as usize]);
        if self.messages.key == Key::User || count < 1 {
            return None;
        }
        let partition = *turn % u64::from(count.unsigned_abs());
        *turn += 1;
        i32::try_from(partition).ok()
    }

    /// Commits the open transaction; where it is one to abort, aborts it and sends it again before.
    fn close(&mut self) -> Result<()> {
        let Some(open) = self.open.take() else { return Ok(()) };
        if let Some(copies) = open.copies {
            (self.deliver)(Delivery::Abort)?;
            self.aborted += 1;
            (self.deliver)(Delivery::Begin)?;
            for copy in &copies {
                (self.deliver)(Delivery::Send(Outgoing {
                    topic: copy.topic,
                    partition: copy.partition,
                    key: copy.key.as_deref(),
                    payload: copy.payload.as_deref(),
                    timestamp_ms: copy.timestamp_ms,
                }))?;
            }
        }
        (self.deliver)(Delivery::Commit)?;
        self.committed += 1;
        Ok(())
    }
}

/// Lines to a file or to standard output.
struct Lines<W: Write> {
    name: String,
    writer: BufWriter<W>,
    /// The reader has gone.
    broken: bool,
}

impl<W: Write> Lines<W> {
    fn new(name: impl Into<String>, writer: W) -> Self {
        Self { name: name.into(), writer: BufWriter::with_capacity(256 << 10, writer), broken: false }
    }

    fn write(&mut self, moment: &Moment<'_>) -> Result<ControlFlow<()>> {
        let written = match moment {
            Moment::Event(event) => match event.payload {
                Some(payload) => self.writer.write_all(payload).and_then(|()| self.writer.write_all(b"\n")),
                None => Ok(()),
            },
            Moment::Idle => self.writer.flush(),
        };
        self.check(written)?;
        Ok(if self.broken { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    fn finish(&mut self) -> Result<()> {
        if self.broken {
            return Ok(());
        }
        let flushed = self.writer.flush();
        self.check(flushed)
    }

    fn check(&mut self, result: io::Result<()>) -> Result<()> {
        match result {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => self.broken = true,
            Err(error) => return Err(Error::fatal(format!("cannot write to {}", self.name)).because(error)),
            Ok(()) => {}
        }
        Ok(())
    }
}

/// One event on its way out.
struct Event<'a> {
    topic: Topic,
    meta: EventMeta,
    payload: Option<&'a [u8]>,
}

/// What the loop hands out.
enum Moment<'a> {
    Event(&'a Event<'a>),
    /// The next event is not due yet.
    Idle,
}

/// The loop: makes events, waits until each is due, hands them out, counts.
fn drive(
    options: &OutputOptions,
    stop: &AtomicBool,
    mut hand_out: impl FnMut(&Moment<'_>) -> Result<ControlFlow<()>>,
) -> Result<OutputSummary> {
    let mut simulator = Simulator::new(options.simulator.clone())?;
    simulator.skip(options.skip);
    let mut pacer = Pacer::new(options.rate);
    let bar = progress_bar(options);
    let mut summary = OutputSummary::default();
    let mut buffer = Vec::new();
    let start = Instant::now();
    while options.events.is_none_or(|events| summary.events < events) && !stop.load(Ordering::Relaxed) {
        buffer.clear();
        let Some(meta) = simulator.next_event(&mut buffer) else { break };
        if options.rate != Rate::Unlimited {
            let due = start + pacer.wait(meta.time_ms, Duration::ZERO).min(Duration::from_secs(1 << 32));
            if !wait_until(due, stop, &mut hand_out)? {
                break;
            }
        }
        let payload = (!meta.is_tombstone()).then_some(buffer.as_slice());
        if hand_out(&Moment::Event(&Event { topic: meta.topic, meta, payload }))?.is_break() {
            break;
        }
        summary.count(&meta, buffer.len());
        if summary.events.is_multiple_of(GLANCE) {
            bar.set_position(summary.events);
        }
    }
    bar.finish_and_clear();
    summary.elapsed = start.elapsed();
    Ok(summary)
}

/// Waits, awake enough to see `stop`. Returns whether to go on.
fn wait_until(
    due: Instant,
    stop: &AtomicBool,
    hand_out: &mut impl FnMut(&Moment<'_>) -> Result<ControlFlow<()>>,
) -> Result<bool> {
    let mut told = false;
    loop {
        let left = due.saturating_duration_since(Instant::now());
        if left < SHORTEST_SLEEP {
            return Ok(true);
        }
        if !told && hand_out(&Moment::Idle)?.is_break() {
            return Ok(false);
        }
        told = true;
        if stop.load(Ordering::Relaxed) {
            return Ok(false);
        }
        std::thread::sleep(left.min(NAP));
    }
}

impl OutputSummary {
    fn count(&mut self, meta: &EventMeta, bytes: usize) {
        self.events += 1;
        self.bytes += bytes as u64;
        *self.topics.entry(meta.topic).or_default() += 1;
        if let Some(fault) = meta.fault {
            *self.faults.entry(fault).or_default() += 1;
        }
        let (first_ms, _) = self.times_ms.unwrap_or((meta.time_ms, 0));
        self.times_ms = Some((first_ms, meta.time_ms));
    }
}

/// The bar hides itself where standard error is no terminal.
fn progress_bar(options: &OutputOptions) -> ProgressBar {
    let much = options.events.is_none_or(|events| events >= PROGRESS_FROM);
    if !options.progress || !much {
        return ProgressBar::hidden();
    }
    let (bar, template) = match options.events {
        Some(events) => (ProgressBar::new(events), "{bar:30} {human_pos} of {human_len} events, {per_sec}, {eta} left"),
        None => (ProgressBar::no_length(), "{spinner} {human_pos} events, {per_sec}"),
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

#[cfg(test)]
#[path = "output_tests.rs"]
mod tests;
