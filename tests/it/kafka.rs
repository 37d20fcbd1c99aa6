//! The Kafka source on a real broker.

pub(crate) mod broker;
mod group;
mod member;
mod positions;
mod reading;
