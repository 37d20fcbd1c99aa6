//! Whole modules through the engine: an honest one built by the SDK, and hostile ones in the text format.

mod conform;
mod failures;
mod fuzz;
mod guest;
mod hostile;
mod limits;
mod modules;
mod rows;
mod sdk;
mod shipped;
mod skip;

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Float64Array, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::chain::{ChainInstance, ChainOutput, LinkedTransform, TransformChain};
use super::engine::TransformEngine;
use crate::config::{FailurePolicy, GuestLimits, TransformConfig};
use crate::decode::Decoded;
use crate::error::Result;
use crate::source::{Message, OwnedMessages, SourceBatch, TopicPartition};

/// A transform with small limits.
fn config(name: &str) -> TransformConfig {
    TransformConfig {
        name: name.to_owned(),
        module: "test.wasm".into(),
        version: None,
        settings: Default::default(),
        limits: GuestLimits {
            memory_bytes: 8 << 20,
            deadline: Duration::from_millis(50),
            output_bytes: 1 << 20,
            ..GuestLimits::default()
        },
        on_failure: FailurePolicy::DeadLetter,
    }
}

/// Links modules given as bytes, as `TransformChain::link` links files.
fn link(modules: &[(TransformConfig, Vec<u8>)], input: SchemaRef) -> Result<TransformChain> {
    link_on(&TransformEngine::new(None)?, modules, input)
}

/// The same on a given engine.
fn link_on(
    engine: &TransformEngine,
    modules: &[(TransformConfig, Vec<u8>)],
    input: SchemaRef,
) -> Result<TransformChain> {
    let mut linked: Vec<LinkedTransform> = Vec::new();
    let mut schema = input;
    for (config, bytes) in modules {
        let transform = LinkedTransform::link(engine, config, bytes, &schema)?;
        schema = transform.output_schema();
        linked.push(transform);
    }
    Ok(TransformChain::of(linked, schema))
}

/// `auth` string, `duration` double?, `n` int.
fn events_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("auth", DataType::Utf8, true),
        Field::new("duration", DataType::Float64, true),
        Field::new("n", DataType::Int32, false),
    ]))
}

/// `rows` events: every third logged out, every fifth without a duration.
fn events(rows: usize) -> (Decoded, SourceBatch) {
    let auth = (0..rows).map(|n| if n % 3 == 0 { "Logged Out" } else { "Logged In" });
    let duration = (0..rows).map(|n| (n % 5 != 0).then_some(n as f64));
    let batch = RecordBatch::try_new(
        events_schema(),
        vec![
            Arc::new(StringArray::from_iter_values(auth)),
            Arc::new(Float64Array::from_iter(duration)),
            Arc::new(Int32Array::from_iter_values(0..rows as i32)),
        ],
    );
    let mut messages = OwnedMessages::default();
    for n in 0..rows as i64 {
        let key = n.to_string();
        let (key, payload) = (Some(key.as_bytes()), Some(b"{}".as_slice()));
        messages.push(Message { offset: 100 + n, timestamp_ms: Some(n), key, payload });
    }
    let decoded = Decoded { rows: batch.unwrap(), messages: (0..rows as u32).collect(), undecodable: Vec::new() };
    let next = 100 + rows as i64;
    (decoded, SourceBatch { topic_partition: TopicPartition::new("events", 3), messages: Box::new(messages), next })
}

/// Takes `rows` events through `chain`, and checks that each is accounted for.
fn run(chain: &mut ChainInstance, rows: usize) -> Result<ChainOutput> {
    let (decoded, source) = events(rows);
    let output = chain.process(&decoded, &source)?;
    let mut distinct = output.messages.clone();
    assert!(distinct.is_sorted(), "messages never decrease");
    distinct.dedup();
    assert_eq!(output.messages.len(), output.rows.num_rows());
    assert_eq!(distinct.len() + output.rejected.len() + output.filtered as usize, rows, "each row is in one place");
    assert!(output.rejected.iter().all(|rejected| !distinct.contains(&rejected.message)));
    assert!(output.rejected.is_sorted_by(|a, b| a.message < b.message));
    Ok(output)
}
