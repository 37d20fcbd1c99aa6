//! wasmill: a stream processor whose transforms are WebAssembly guests.
//!
//! Kafka in, Hive-partitioned Parquet out, exactly once. `ARCHITECTURE.md` in this package is the map.

pub mod admin;
pub mod audit;
pub mod browse;
pub mod chain;
pub mod checkpoint;
pub mod config;
pub mod connect;
pub mod contract;
pub mod decode;
pub mod deployment;
pub mod error;
pub mod eventsim;
pub mod kerberos;
pub mod pipeline;
pub mod preflight;
pub mod reason;
pub mod registry;
pub mod replay;
pub mod report;
pub mod reprocess;
pub mod runtime;
pub mod schema_registry;
pub mod serve;
pub mod signature;
pub mod sink;
pub mod source;
pub mod status;
pub mod storage;
pub mod table;
pub mod transform;
