//! From rows to Hive-partitioned Parquet files.
//!
//! The sink encodes and stages; it knows nothing of Kafka, of the chain, or of what a transform is.

pub mod dead_letter;
mod encodings;
pub mod hive;
pub mod hive_path;
pub mod owner;
pub mod part_file;
pub mod publish;
pub mod range;
pub mod spark_table;
pub mod stage;
