//! From rows to Hive-partitioned Parquet files.
//!
//! The sink encodes and stages; it knows nothing of Kafka, of the chain, or of what a transform is.

pub mod dead_letter;
pub mod publish;
