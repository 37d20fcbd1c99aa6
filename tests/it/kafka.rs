//! The Kafka source on a real broker.

mod broker;
mod group;
mod member;
mod positions;
mod reading;
