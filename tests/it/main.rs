//! Tests that need more than one part: real servers, the production engine, whole runs.
//!
//! `make test` starts the servers and tells their addresses by environment variables ([`servers`]); none of these tests
//! passes without them.

mod admin;
mod binary;
mod cli;
mod deployments;
mod golden;
mod hdfs;
mod kafka;
mod main_job;
mod memory;
mod model;
mod readme;
mod record_formats;
mod replay;
mod reprocess;
mod servers;
mod simulation;
mod stops;
mod storage_contract;
mod tidy;
mod verify;
