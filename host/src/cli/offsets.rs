//! `wasmill offsets show|set PIPELINE`.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Subcommand;
use serde_json::json;
use wasmill::audit::facts::ChainFacts;
use wasmill::audit::position::{Positions, To};
use wasmill::audit::{self, ChainView, Subject, print};
use wasmill::chain::ChainError;
use wasmill::chain::operator::Permission;
use wasmill::checkpoint::Note;
use wasmill::config::Config;
use wasmill::error::{Error, Result};
use wasmill::report::grouped;
use wasmill::runtime::{Runtime, TokioRuntime};
use wasmill::source::{self, KnownOffsets, TopicPartition};
use wasmill::table::print::print_json;

use super::{block_on, logging};

/// Show or move the positions at which topic partitions are read.
#[derive(clap::Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Show(Show),
    Set(Set),
}

/// Show the position of each topic partition, beside what Kafka has and what the group has committed.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  wasmill offsets show host/pipelines/listen-events.toml")]
struct Show {
    /// The pipeline file.
    pipeline: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Move the position of one topic partition; without --yes only show what that would mean.
///
/// Forwards leaves messages out, backwards brings rows into the table again: each needs its own flag. The move is written
/// into the checkpoints with your name and reason, and `verify` shows it. It takes the topic partition over: a running
/// pipeline drops what it has open there, takes it back by itself, and goes on at the new position.
#[derive(clap::Args)]
#[command(after_help = "Example:
  wasmill offsets set host/pipelines/listen-events.toml --topic-partition listen_events/3 --to 128400 \\
      --why 'poison messages, see incident 17' --allow-loss --yes")]
struct Set {
    /// The pipeline file.
    pipeline: PathBuf,
    /// Which one: TOPIC/N.
    #[arg(long, value_name = "TOPIC/N", value_parser = topic_partition)]
    topic_partition: TopicPartition,
    /// The next offset to read: a number, earliest or latest.
    #[arg(long, value_name = "OFFSET", value_parser = to)]
    to: To,
    /// Why; it is recorded with your name.
    #[arg(long, value_name = "TEXT")]
    why: String,
    /// Messages may be left out.
    #[arg(long)]
    allow_loss: bool,
    /// Rows may come into the table again.
    #[arg(long)]
    allow_duplicates: bool,
    /// Do it.
    #[arg(long)]
    yes: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

fn topic_partition(text: &str) -> Result<TopicPartition, String> {
    let parts = text.rsplit_once('/').and_then(|(topic, number)| Some((topic, number.parse().ok()?)));
    match parts {
        Some((topic, number)) if !topic.is_empty() => Ok(TopicPartition::new(topic, number)),
        _ => Err("expected TOPIC/N, like listen_events/3".to_owned()),
    }
}

fn to(text: &str) -> Result<To, String> {
    text.parse().map_err(|error: Error| format!("{error}; {}", error.what_to_do().unwrap_or_default()))
}

impl Arguments {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Show(command) => command.run(),
            Command::Set(command) => command.run(),
        }
    }
}

/// What the source knows. An operator at work must not be held up by brokers that are down.
fn known(config: &Config, all: &[TopicPartition]) -> BTreeMap<TopicPartition, KnownOffsets> {
    source::known_offsets(&config.source, all).unwrap_or_else(|error| {
        tracing::warn!(%error, "the source does not say what it has");
        BTreeMap::new()
    })
}

impl Show {
    fn run(self) -> anyhow::Result<ExitCode> {
        let config = Config::load(&self.pipeline)?;
        let subject = Subject::open(&config)?;
        let progress = logging::busy();
        let chains = block_on(audit::chains(&subject, &progress))?;
        let known = known(&config, &chains.keys().cloned().collect::<Vec<_>>());
        progress.finish_and_clear();
        let positions = Positions::new(&subject.pipeline, &chains, &known);
        let mut out = std::io::stdout().lock();
        if self.json {
            print_json(&positions, &mut out)?;
        } else {
            print::print_positions(&positions, &mut out)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Set {
    fn run(self) -> anyhow::Result<ExitCode> {
        if self.why.trim().is_empty() {
            return Err(Error::config("--why is empty").hint("say why: it is recorded").into());
        }
        let config = Config::load(&self.pipeline)?;
        let subject = Subject::open(&config)?;
        let chains = block_on(audit::chains(&subject, &logging::busy()))?;
        let (from, identity) = self.position(&subject, chains.get(&self.topic_partition))?;
        let known = known(&config, std::slice::from_ref(&self.topic_partition));
        let to = self.to.offset(known.get(&self.topic_partition))?;
        let permission = Permission { loss: self.allow_loss, duplicates: self.allow_duplicates };
        permission.check(from, to)?;
        if !self.yes || from == to {
            return self.tell(from, to, None);
        }
        let note = Note { who: super::operator(), why: self.why.clone(), accepted: Vec::new() };
        let moved = block_on(async {
            let runtime: Arc<dyn Runtime> = Arc::new(TokioRuntime::new(tokio::runtime::Handle::current()));
            let chain = subject.chain(&self.topic_partition, &identity, runtime);
            chain.move_position(to, permission, note).await.map_err(ChainError::into_error)
        })?;
        self.tell(moved.from, moved.to, Some(moved.sequence))
    }

    /// The position as it is, and what the topic is.
    fn position(&self, subject: &Subject, chain: Option<&ChainFacts>) -> Result<(i64, String)> {
        let chain = chain.ok_or_else(|| {
            Error::config(format!("{} has no checkpoints", self.topic_partition))
                .hint("`start` in the pipeline file says where it begins; `wasmill offsets show` lists what there is")
        })?;
        let view = ChainView::new(&subject.pipeline, &self.topic_partition, chain);
        match view.newest() {
            Some(newest) => Ok((newest.next, newest.topic_identity.clone())),
            None => Err(Error::fatal(format!("no record of {} can be read", self.topic_partition))
                .hint("`wasmill verify` tells what is wrong")),
        }
    }

    fn tell(&self, from: i64, to: i64, record: Option<u64>) -> anyhow::Result<ExitCode> {
        let mut out = std::io::stdout().lock();
        let count = from.abs_diff(to);
        if self.json {
            let value = json!({
                "topic": &*self.topic_partition.topic,
                "topic_partition": self.topic_partition.partition,
                "from": from,
                "to": to,
                "left_out": if to > from { count } else { 0 },
                "read_again": if to < from { count } else { 0 },
                "done": record.is_some() || from == to,
                "record": record,
            });
            print_json(&value, &mut out)?;
            return Ok(ExitCode::SUCCESS);
        }
        let count = grouped(count);
        let what = match to.cmp(&from) {
            std::cmp::Ordering::Greater => format!("{count} offsets, {from}..{to}, are left out"),
            std::cmp::Ordering::Less => format!("{count} offsets, {to}..{from}, are read again; their rows come twice"),
            std::cmp::Ordering::Equal => "it stands there already".to_owned(),
        };
        writeln!(out, "{}: position {from} -> {to}: {what}", self.topic_partition)?;
        match record {
            Some(record) => writeln!(out, "done: record {record}")?,
            None if from == to => {}
            None => writeln!(out, "nothing was done yet: --yes does it")?,
        }
        Ok(ExitCode::SUCCESS)
    }
}
