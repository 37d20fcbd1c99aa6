//! Members of a group that come and go. No message may be read twice or left out, whoever reads it.

use std::collections::BTreeMap;
use wasmill::config::StartPosition;
use wasmill::source::{SourceEvent, TopicPartition};

use super::broker::{config, produce, topic};
use super::member::{Checkpoints, Member, until};

const TOPIC_PARTITIONS: i32 = 4;

/// The strategies, by the options that choose them.
const STRATEGIES: [(&str, &[(&str, &str)]); 4] = [
    ("cooperative-sticky", &[]),
    ("consumer", &[("group.protocol", "consumer")]),
    ("range", &[("partition.assignment.strategy", "range")]),
    ("roundrobin", &[("partition.assignment.strategy", "roundrobin")]),
];

fn produce_everywhere(topic: &str, numbers: std::ops::Range<i64>) {
    for partition in 0..TOPIC_PARTITIONS {
        produce(topic, partition, numbers.clone());
    }
}

/// Every message up to `end` was read exactly once.
fn check_exactly_once(what: &str, read: impl IntoIterator<Item = (TopicPartition, i64, Vec<u8>)>, end: i64) {
    let mut offsets: BTreeMap<i32, Vec<i64>> = BTreeMap::new();
    for (topic_partition, offset, payload) in read {
        assert_eq!(payload, format!("{{\"n\":{offset}}}").into_bytes());
        offsets.entry(topic_partition.partition).or_default().push(offset);
    }
    for partition in 0..TOPIC_PARTITIONS {
        let found = offsets.entry(partition).or_default();
        found.sort_unstable();
        assert_eq!(*found, (0..end).collect::<Vec<_>>(), "{what}: topic partition {partition}");
    }
}

fn share(members: &[&mut Member], shares: &[usize]) -> bool {
    members.iter().all(|member| member.is_settled())
        && members.iter().map(|member| member.owned().len()).eq(shares.iter().copied())
}

fn all_read(members: &[&mut Member], end: i64) -> bool {
    let read: usize = members.iter().map(|member| member.read.len()).sum();
    read as i64 >= end * i64::from(TOPIC_PARTITIONS) && members.iter().all(|member| member.is_at_end())
}

/// Two members come and go while messages are produced; take-overs take `delay` steps and more.
fn come_and_go(name: &str, options: &[(&str, &str)], delay: u32) {
    let topic = topic(name, TOPIC_PARTITIONS, &[]);
    let config = config(&[&topic], StartPosition::Earliest, options);
    let checkpoints = Checkpoints::default();
    produce_everywhere(&topic, 0..100);

    let mut first = Member::join(&config, &checkpoints);
    first.delay = delay;
    until("the first alone", &mut [&mut first], |members| share(members, &[4]) && all_read(members, 100));

    // All are at their ends now: that is where the client's own position would be wrong after the next change.
    let mut second = Member::join(&config, &checkpoints);
    second.delay = delay;
    until("two each", &mut [&mut first, &mut second], |members| share(members, &[2, 2]));
    produce_everywhere(&topic, 100..150);
    until("both read", &mut [&mut first, &mut second], |members| all_read(members, 150));

    // A third one comes while messages come.
    let mut third = Member::join(&config, &checkpoints);
    third.delay = delay;
    produce_everywhere(&topic, 150..250);
    until("three members", &mut [&mut first, &mut second, &mut third], |members| {
        members.iter().all(|member| member.is_settled() && !member.owned().is_empty())
            && members.iter().map(|member| member.owned().len()).sum::<usize>() == 4
            && all_read(members, 250)
    });

    let mut read = first.leave();
    produce_everywhere(&topic, 250..300);
    let left = read.len() as i64;
    until("the first gone", &mut [&mut second, &mut third], |members| {
        share(members, &[2, 2])
            && members.iter().map(|member| member.read.len() as i64).sum::<i64>() + left >= 300 * 4
            && members.iter().all(|member| member.is_at_end())
    });
    read.extend(second.leave());
    produce_everywhere(&topic, 300..310);
    let left = read.len();
    until("the last alone", &mut [&mut third], |members| {
        share(members, &[4]) && members[0].read.len() + left >= 310 * 4 && members[0].is_at_end()
    });
    read.extend(third.leave());
    check_exactly_once(name, read, 310);
}

#[test]
fn members_come_and_go_cooperative_sticky() {
    come_and_go(STRATEGIES[0].0, STRATEGIES[0].1, 0);
    come_and_go(STRATEGIES[0].0, STRATEGIES[0].1, 5);
}

#[test]
fn members_come_and_go_consumer_protocol() {
    come_and_go(STRATEGIES[1].0, STRATEGIES[1].1, 0);
    come_and_go(STRATEGIES[1].0, STRATEGIES[1].1, 5);
}

#[test]
fn members_come_and_go_range() {
    come_and_go(STRATEGIES[2].0, STRATEGIES[2].1, 0);
    come_and_go(STRATEGIES[2].0, STRATEGIES[2].1, 5);
}

#[test]
fn members_come_and_go_roundrobin() {
    come_and_go(STRATEGIES[3].0, STRATEGIES[3].1, 5);
}

#[test]
fn more_members_than_topic_partitions() {
    for (name, options) in STRATEGIES {
        let topic = topic(name, 1, &[]);
        produce(&topic, 0, 0..10);
        let config = config(&[&topic], StartPosition::Earliest, options);
        let checkpoints = Checkpoints::default();
        let mut first = Member::join(&config, &checkpoints);
        until("the first alone", &mut [&mut first], |members| members[0].end(0) == Some(10));
        let mut second = Member::join(&config, &checkpoints);
        // A host that only catches up ends by this.
        let empty_handed = |member: &Member| {
            let told = |event: &SourceEvent| matches!(event, SourceEvent::Assigned(all) if all.is_empty());
            member.owned().is_empty() && member.events.iter().any(told)
        };
        until("one is told that it gets nothing", &mut [&mut first, &mut second], |members| {
            members.iter().any(|member| empty_handed(member))
        });
        produce(&topic, 0, 10..20);
        until("one of them reads", &mut [&mut first, &mut second], |members| {
            members.iter().any(|member| member.end(0) == Some(20))
        });
        let mut offsets: Vec<i64> = first.offsets(0);
        offsets.extend(second.offsets(0));
        assert_eq!(offsets, (0..20).collect::<Vec<_>>(), "{name}");
    }
}

/// A member that does not poll is thrown out; it learns so, loses what it had, and comes back. (Under the consumer protocol
/// the client does not take a limit below 45 s.)
#[test]
fn a_member_that_was_thrown_out_comes_back() {
    for (name, options) in [STRATEGIES[0], STRATEGIES[2]] {
        let limits = [("max.poll.interval.ms", "6000"), ("session.timeout.ms", "6000")];
        let options = [options, &limits].concat();
        let topic = topic(name, TOPIC_PARTITIONS, &[]);
        let config = config(&[&topic], StartPosition::Earliest, &options);
        let checkpoints = Checkpoints::default();
        produce_everywhere(&topic, 0..10);
        let mut first = Member::join(&config, &checkpoints);
        let mut second = Member::join(&config, &checkpoints);
        until("two each", &mut [&mut first, &mut second], |members| share(members, &[2, 2]) && all_read(members, 10));
        let owned = first.owned();
        assert_eq!(first.source.still_assigned(&owned[0], 10), Some(true), "{name}");

        checkpoints.borrow_mut().clear();
        second.read.clear();
        // Their new owner begins where the checkpoint says, as after a crash: nothing was committed.
        until("the second takes over", &mut [&mut second], |members| share(members, &[4]) && members[0].is_at_end());
        assert_ne!(first.source.still_assigned(&owned[0], 10), Some(true), "{name}");
        first.events.clear();
        until("the first is back", &mut [&mut first, &mut second], |members| {
            share(members, &[2, 2]) && members.iter().all(|member| member.is_at_end())
        });
        let lost = first.events.iter().any(|event| matches!(event, SourceEvent::Lost(all) if all.len() == 2));
        assert!(lost, "{name}: {:?}", first.events);
        let again: Vec<_> = second.read.iter().filter(|(tp, ..)| owned.contains(tp)).collect();
        assert_eq!(again.len(), 20, "{name}");
    }
}
