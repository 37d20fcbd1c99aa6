//! Output to files and to a deliverer that writes down what it is asked.

use super::*;
use crate::eventsim::FaultShares;

fn options(events: u64) -> OutputOptions {
    let simulator = SimulatorOptions { users: 500, ..Default::default() };
    OutputOptions { simulator, events: Some(events), ..Default::default() }
}

fn go() -> AtomicBool {
    AtomicBool::new(false)
}

/// Everything that a deliverer was asked: `send`s with topic, partition, key and payload, and the other words.
fn delivered(options: &OutputOptions, messages: &MessageOptions, partitions: i32) -> (OutputSummary, Vec<String>) {
    let mut log = Vec::new();
    let summary = to_topics(options, messages, [partitions; 4], &go(), &mut |delivery| {
        log.push(match delivery {
            Delivery::Send(message) => format!(
                "{:?} {:?} {}",
                message.partition,
                message.key.map(String::from_utf8_lossy),
                message.payload.map_or("null".into(), String::from_utf8_lossy),
            ),
            other => format!("{other:?}"),
        });
        Ok(())
    });
    (summary.unwrap(), log)
}

#[test]
fn a_file_has_one_event_a_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("events.jsonl");
    let summary = to_file(&options(1_000), &path, &go()).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().count(), 1_000);
    assert_eq!(text.len() as u64, summary.bytes + 1_000);
    assert_eq!(summary.topics, BTreeMap::from([(Topic::ListenEvents, 1_000)]));
    let last: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(last["ts"], summary.times_ms.unwrap().1);

    let rest = directory.path().join("rest.jsonl");
    to_file(&OutputOptions { skip: 400, ..options(600) }, &rest, &go()).unwrap();
    let rest = std::fs::read_to_string(&rest).unwrap();
    assert!(text.lines().skip(400).eq(rest.lines()));
}

#[test]
fn each_topic_may_have_its_own_file() {
    let directory = tempfile::tempdir().unwrap();
    let mut options = options(20_000);
    options.simulator.topics = Topic::ALL.to_vec();
    let summary = to_file(&options, &directory.path().join("{topic}.jsonl"), &go()).unwrap();
    assert_eq!(summary.topics.len(), 4);
    for (topic, count) in summary.topics {
        let text = std::fs::read_to_string(directory.path().join(format!("{}.jsonl", topic.name()))).unwrap();
        assert_eq!(text.lines().count() as u64, count);
        assert!(topic != Topic::AuthEvents || text.lines().all(|line| line.contains("\"success\":")));
    }
}

#[test]
fn a_directory_that_is_not_there_is_the_users_mistake() {
    let error = to_file(&options(1), Path::new("/no/such/directory/x.jsonl"), &go()).unwrap_err();
    assert_eq!(error.kind(), crate::error::ErrorKind::Config);
    assert!(error.to_string().contains("/no/such/directory/x.jsonl"));
}

#[test]
fn stop_ends_the_run() {
    let mut seen = 0;
    let stop = go();
    let endless = OutputOptions { events: None, rate: Rate::PerSecond(1e9), ..options(0) };
    to_topics(&endless, &MessageOptions::default(), [1; 4], &stop, &mut |_| {
        seen += 1;
        stop.store(seen == 50, Ordering::Relaxed);
        Ok(())
    })
    .unwrap();
    assert_eq!(seen, 50);
    // An event that is due in a long time does not keep it.
    let stop = go();
    let slow = OutputOptions { rate: Rate::PerSecond(1e-9), ..options(2) };
    let summary = to_topics(&slow, &MessageOptions::default(), [1; 4], &stop, &mut |delivery| {
        stop.store(delivery == Delivery::Idle, Ordering::Relaxed);
        Ok(())
    });
    assert_eq!(summary.unwrap().events, 1);
}

#[test]
fn a_failed_delivery_fails_the_run() {
    let mut left = 10;
    let result = to_topics(&options(100), &MessageOptions::default(), [1; 4], &go(), &mut |_| {
        left -= 1;
        if left == 0 { Err(Error::fatal("no broker")) } else { Ok(()) }
    });
    assert_eq!(result.unwrap_err().to_string(), "no broker");
}

#[test]
fn messages_without_a_key_go_by_turns_and_users_keep_their_key() {
    let (_, log) = delivered(&options(40), &MessageOptions::default(), 4);
    for (index, line) in log.iter().enumerate() {
        assert!(line.starts_with(&format!("Some({}) None {{", index % 4)), "{line}");
    }
    let by_user = MessageOptions { key: Key::User, ..Default::default() };
    let (_, log) = delivered(&options(40), &by_user, 4);
    for line in log {
        let key = line.strip_prefix("None Some(\"").and_then(|rest| rest.split('"').next()).unwrap();
        assert!(line.contains(&format!("\"userId\":{key},")), "{line}");
    }
}

#[test]
fn aborted_transactions_are_sent_again_so_that_each_event_is_committed_once() {
    let mut options = options(1_050);
    options.simulator.faults = FaultShares { tombstone: 0.1, ..Default::default() };
    let plain = delivered(&options, &MessageOptions::default(), 4).1;
    let transactions = Some(Transactions { events: 100, abort_share: 0.4 });
    let (summary, log) = delivered(&options, &MessageOptions { transactions, ..Default::default() }, 4);
    let (mut open, mut committed, mut aborted) = (Vec::new(), Vec::new(), 0);
    for line in log {
        match line.as_str() {
            "Begin" => assert!(open.is_empty()),
            "Commit" => committed.append(&mut open),
            "Abort" => {
                aborted += 1;
                open.clear();
            }
            _ => open.push(line),
        }
    }
    assert!(open.is_empty());
    assert_eq!(committed, plain);
    assert_eq!((summary.committed, summary.aborted, summary.events), (11, aborted, 1_050));
    assert!(aborted > 0 && aborted < 11);
}

#[test]
fn transactions_out_of_range_are_refused() {
    for (events, abort_share) in [(0, 0.0), (1, -0.1), (1, 1.1), (1, f64::NAN)] {
        let messages =
            MessageOptions { transactions: Some(Transactions { events, abort_share }), ..Default::default() };
        assert!(to_topics(&options(1), &messages, [1; 4], &go(), &mut |_| Ok(())).is_err());
    }
}
