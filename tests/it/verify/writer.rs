//! A small table on a local disk, written by the real chain and sink: take-overs, ranges, an archive.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use wasmill::audit::Subject;
use wasmill::chain::{Chain, TakeOver, Taken};
use wasmill::checkpoint::{DeploymentRecord, FORMAT, Occasion, Protocol, Retention, TransformRecord};
use wasmill::config::Compression;
use wasmill::runtime::{Runtime, TokioRuntime};
use wasmill::sink::dead_letter::{self, DeadLetter, Stage};
use wasmill::sink::hive::{Piece, Rows};
use wasmill::sink::part_file::PartFileOptions;
use wasmill::sink::range::{OpenRange, RangeContext};
use wasmill::sink::stage::{Memory, Staging};
use wasmill::source::TopicPartition;
use wasmill::storage::local::LocalStorage;
use wasmill::storage::{Location, Storage};

pub(super) const PIPELINE: &str = "audited";
pub(super) const TOPIC: &str = "events";
/// Rows of each of the two hive partitions that a range writes to, its filtered rows, its dead letters.
const ROWS: (i64, u64, i64) = (3, 2, 2);

/// Offsets of one range; the last of them is a gap, as a transaction's marker leaves.
pub(super) const OFFSETS: i64 = 11;

/// What is written below `directory`.
pub(super) fn subject(directory: &Path) -> Subject {
    let location = |name: &str| Location {
        storage: Arc::new(LocalStorage { sync_on_close: false }) as Arc<dyn Storage>,
        path: directory.join(name).to_string_lossy().into_owned(),
        url: name.to_owned(),
    };
    Subject {
        pipeline: PIPELINE.to_owned(),
        checkpoints: location("checkpoints"),
        table: location("table"),
        dead_letters: location("dead_letters"),
        first_kept: None,
    }
}

/// The chain of topic partition `partition`, of which two records are kept beside the archive.
pub(super) fn chain(subject: &Subject, partition: i32) -> Arc<Chain> {
    let runtime: Arc<dyn Runtime> = Arc::new(TokioRuntime::new(tokio::runtime::Handle::current()));
    Arc::new(Chain {
        topic_partition: TopicPartition::new(TOPIC, partition),
        topic_identity: "the first".to_owned(),
        pipeline: subject.pipeline.clone(),
        checkpoints: subject.checkpoints.clone(),
        table: subject.table.clone(),
        dead_letters: subject.dead_letters.clone(),
        protocol: Protocol::default(),
        newest_format: FORMAT,
        retention: Retention { keep: 2, fold: 3 },
        runtime,
    })
}

pub(super) async fn take_over(chain: &Arc<Chain>) -> Box<TakeOver> {
    match chain.take_over(Some(0)).await {
        Ok(Taken::Over(taken)) => taken,
        Ok(Taken::NeedsFirstPosition) => panic!("a first position was given"),
        Err(error) => panic!("{error:?}"),
    }
}

fn columns() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, false)]))
}

fn context(taken: &TakeOver) -> Arc<RangeContext> {
    let chain = taken.chain();
    let staging = |location: &Location| Staging {
        storage: Arc::clone(&location.storage),
        directory: taken.staging(location),
        runtime: Arc::clone(&chain.runtime),
        protocol: chain.protocol,
        memory: Memory::new(64 << 20),
    };
    let options = |schema| PartFileOptions::new(schema, Compression::Zstd, 1 << 20).expect("options");
    let transform = TransformRecord {
        name: "keep".to_owned(),
        version: "1.0.0".to_owned(),
        sha256: "00ff".to_owned(),
        settings_digest: "none".to_owned(),
    };
    Arc::new(RangeContext {
        topic_partition: chain.topic_partition.clone(),
        pipeline: chain.pipeline.clone(),
        take_over: taken.id,
        occasion: Occasion::Pass(taken.pass),
        deployment: DeploymentRecord { number: 0, transforms: vec![transform] },
        options: options(columns()),
        dead_letter_options: options(dead_letter::schema()),
        max_open_hive_partitions: 100,
        table: chain.table.path.clone(),
        staging: staging(&chain.table),
        dead_letters: chain.dead_letters.path.clone(),
        dead_letter_staging: staging(&chain.dead_letters),
    })
}

fn letter(chain: &Chain, offset: i64) -> DeadLetter {
    DeadLetter {
        topic: TOPIC.to_owned(),
        topic_partition: chain.topic_partition.partition,
        offset,
        timestamp_ms: None,
        key: None,
        payload: Some(b"{".to_vec()),
        headers: Vec::new(),
        stage: Stage::Decode,
        transform: None,
        reason: "not-json".to_owned(),
        message: "the payload is not JSON".to_owned(),
        deployment: 0,
        recorded_at_ms: 1_795_480_200_000,
    }
}

/// A range from where the take-over stands, filled and not closed.
pub(super) fn filled(taken: &TakeOver) -> OpenRange {
    let start = taken.next;
    let mut range = OpenRange::new(&context(taken), start, Duration::ZERO);
    let mut offset = start;
    for day in ["day=2026-11-24", "day=2026-11-25"] {
        let ids: Int64Array = (offset..offset + ROWS.0).collect::<Vec<_>>().into();
        let rows = RecordBatch::try_new(columns(), vec![Arc::new(ids)]).expect("a batch");
        let origin = Rows::Run(0..3);
        let piece =
            Piece { hive_partition: day.into(), rows, origin, min_event_time_us: offset, max_event_time_us: offset };
        range.write(&piece).expect("rows are written");
        offset += ROWS.0;
    }
    for _ in 0..ROWS.2 {
        range.set_aside(letter(taken.chain(), offset)).expect("a dead letter is written");
        offset += 1;
    }
    range.rows.filtered += ROWS.1;
    range.rows.messages += 2 * ROWS.0 as u64 + ROWS.1 + ROWS.2 as u64;
    range.next = start + OFFSETS;
    range
}

/// Writes one range: two files of the table, one of the dead letters.
pub(super) async fn write(taken: &mut TakeOver) {
    let staged = filled(taken).close().expect("the files end").staged().await.expect("the files are staged");
    taken.commit(staged).await.expect("the range is committed");
}

/// Two topic partitions, each with some history: records in the archive, three take-overs.
pub(super) async fn table(subject: &Subject) {
    for partition in 0..2 {
        let chain = chain(subject, partition);
        for _ in 0..3 {
            let mut taken = take_over(&chain).await;
            for _ in 0..3 {
                write(&mut taken).await;
            }
        }
    }
}
