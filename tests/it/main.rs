//! Tests that need more than one part: real servers, the production engine, whole runs.
//!
//! `make test` starts the servers and tells their addresses by environment variables ([`servers`]); none of these tests
//! passes without them.

/// As the binary has it: the simulation makes and frees a great deal.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

mod admin;
mod binary;
mod cli;
mod dead_letters;
mod deployments;
mod golden;
mod hdfs;
mod kafka;
mod languages;
mod listeners;
mod main_job;
mod memory;
mod model;
mod readme;
mod record_formats;
mod replay;
mod reprocess;
mod schema_evolution;
mod schema_registry;
mod serve;
mod servers;
mod signatures;
mod simulation;
mod stops;
mod storage_contract;
mod tidy;
mod topics;
mod verify;
