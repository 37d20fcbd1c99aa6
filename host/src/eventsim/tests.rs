//! The simulator as its users see it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::*;

const LISTEN_FIELDS: [&str; 19] = [
    "artist",
    "song",
    "duration",
    "ts",
    "sessionId",
    "auth",
    "level",
    "itemInSession",
    "city",
    "zip",
    "state",
    "userAgent",
    "lon",
    "lat",
    "userId",
    "lastName",
    "firstName",
    "gender",
    "registration",
];

fn options() -> SimulatorOptions {
    SimulatorOptions { users: 2_000, ..Default::default() }
}

fn all_topics() -> SimulatorOptions {
    SimulatorOptions { topics: Topic::ALL.to_vec(), ..options() }
}

/// The first `count` events, or all.
fn events(options: SimulatorOptions, count: usize) -> Vec<(EventMeta, Vec<u8>)> {
    let mut simulator = Simulator::new(options).unwrap();
    let next = || {
        let mut payload = Vec::new();
        simulator.next_event(&mut payload).map(|meta| (meta, payload))
    };
    std::iter::from_fn(next).take(count).collect()
}

fn json(payload: &[u8]) -> Value {
    serde_json::from_slice(payload).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(payload)))
}

fn hash(events: &[(EventMeta, Vec<u8>)]) -> String {
    let mut hash = Sha256::new();
    for (meta, payload) in events {
        hash.update(format!("{meta:?} {}\n", payload.len()));
        hash.update(payload);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The keys of an object in the order of the text, which `Value` does not keep.
fn keys(payload: &[u8]) -> Vec<String> {
    let text = std::str::from_utf8(payload).unwrap();
    let object = json(payload);
    let mut keys: Vec<String> = object.as_object().unwrap().keys().cloned().collect();
    keys.sort_by_key(|key| text.find(&format!("\"{key}\":")).unwrap());
    keys
}

#[test]
fn the_same_seed_gives_the_same_bytes_on_every_machine() {
    let plain = hash(&events(options(), 10_000));
    assert_eq!(plain, "91f792541429b5fedc8358d8adc809da6d68b08ee20c97b00863fda9c2342d32");
    let faulty = SimulatorOptions { faults: FaultShares::spread(0.2), seed: 2, ..all_topics() };
    assert_eq!(hash(&events(faulty, 10_000)), "5716c2e68375a389574bce9e71ce1cc5bd45d84e0f5c272a7e676f31e15bae58");
    assert_ne!(plain, hash(&events(SimulatorOptions { seed: 3, ..options() }, 10_000)));
}

#[test]
fn listening_events_have_the_nineteen_columns_in_order() {
    let events = events(options(), 20_000);
    let bytes: usize = events.iter().map(|(_, payload)| payload.len()).sum();
    assert!((470..=530).contains(&(bytes / events.len())), "{} bytes an event", bytes / events.len());
    for (meta, payload) in &events {
        assert_eq!(keys(payload), LISTEN_FIELDS);
        let event = json(payload);
        for text in ["artist", "song", "city", "zip", "state", "userAgent", "lastName", "firstName"] {
            assert!(event[text].as_str().is_some_and(|text| !text.is_empty()), "{text}");
        }
        assert_eq!(event["ts"], meta.time_ms);
        assert_eq!(event["userId"].as_u64(), meta.user_id);
        assert_eq!(event["auth"], "Logged In");
        assert!(event["level"] == "free" || event["level"] == "paid");
        assert!(event["gender"] == "F" || event["gender"] == "M");
        assert!(event["duration"].as_f64().unwrap() > 0.0);
        assert!(event["lon"].is_f64() && event["lat"].is_f64());
        assert!(event["registration"].as_i64().unwrap() < meta.time_ms);
        assert!(event["sessionId"].as_i64().is_some_and(|id| id < i64::from(i32::MAX)));
        assert_eq!((meta.topic, meta.fault), (Topic::ListenEvents, None));
    }
}

#[test]
fn each_topic_shows_its_pages_and_fields() {
    let mut seen: BTreeMap<Topic, u32> = BTreeMap::new();
    let visit = ["city", "zip", "state", "userAgent", "lon", "lat"];
    let user = ["userId", "lastName", "firstName", "gender", "registration"];
    for (meta, payload) in events(all_topics(), 60_000) {
        *seen.entry(meta.topic).or_default() += 1;
        let event = json(&payload);
        let mut wanted: Vec<&str> = match meta.topic {
            Topic::ListenEvents => {
                assert_eq!(keys(&payload), LISTEN_FIELDS);
                continue;
            }
            Topic::PageViewEvents => {
                vec!["ts", "sessionId", "page", "auth", "method", "status", "level", "itemInSession"]
            }
            Topic::AuthEvents => vec!["ts", "sessionId", "level", "itemInSession"],
            Topic::StatusChangeEvents => vec!["ts", "sessionId", "auth", "level", "itemInSession"],
        };
        wanted.extend(visit);
        if meta.user_id.is_some() {
            wanted.extend(user);
        }
        match meta.topic {
            Topic::PageViewEvents if event["page"] == "NextSong" => wanted.extend(["artist", "song", "duration"]),
            Topic::AuthEvents => {
                wanted.push("success");
                assert_eq!(event["success"], meta.user_id.is_some());
            }
            _ => {}
        }
        assert_eq!(keys(&payload), wanted);
    }
    assert_eq!(seen.len(), 4, "{seen:?}");
    assert!(seen[&Topic::ListenEvents] * 10 > seen[&Topic::PageViewEvents] * 7, "{seen:?}");
    assert!(seen[&Topic::AuthEvents] > seen[&Topic::StatusChangeEvents], "{seen:?}");
}

#[test]
fn a_topic_alone_is_the_same_as_among_others() {
    let together = events(all_topics(), 30_000);
    for topic in Topic::ALL {
        let wanted: Vec<_> = together.iter().filter(|(meta, _)| meta.topic == topic).cloned().collect();
        let alone = events(SimulatorOptions { topics: vec![topic], ..options() }, wanted.len());
        assert!(alone == wanted, "{topic:?}");
    }
}

#[test]
fn events_are_in_order_of_event_time() {
    let mut last_ms = options().start_ms;
    for (meta, _) in events(all_topics(), 50_000) {
        assert!(meta.time_ms >= last_ms);
        last_ms = meta.time_ms;
    }
}

#[test]
fn sessions_keep_their_rules() {
    let page_views = SimulatorOptions { topics: vec![Topic::PageViewEvents], ..options() };
    // Of each session: the user, the last page's number, time and end of song, and the page itself.
    let mut sessions: BTreeMap<u64, (Option<u64>, u64, i64, i64, String)> = BTreeMap::new();
    let mut cancelled = BTreeSet::new();
    let mut started = 0;
    for (meta, payload) in events(page_views, 100_000) {
        let event = json(&payload);
        let (page, item) = (event["page"].as_str().unwrap(), event["itemInSession"].as_u64().unwrap());
        let song_ms = event["duration"].as_f64().map_or(0, |seconds| (seconds * 1_000.0) as i64);
        let entry = sessions.entry(event["sessionId"].as_u64().unwrap());
        match entry {
            std::collections::btree_map::Entry::Vacant(entry) => {
                let first = ["NextSong", "Home", "Settings", "Help", "About", "Login", "Register"];
                assert!(item == 0 && first.contains(&page), "{page} {item}");
                assert_eq!(*entry.key(), started + 1, "sessions are numbered in the order in which they start");
                started += 1;
                entry.insert((meta.user_id, item, meta.time_ms, meta.time_ms + song_ms, page.to_owned()));
            }
            std::collections::btree_map::Entry::Occupied(mut entry) => {
                let (user, last_item, last_ms, song_end_ms, last_page) = entry.get_mut();
                assert_eq!(item, *last_item + 1);
                assert!(meta.time_ms > *last_ms && meta.time_ms >= *song_end_ms - 1);
                match last_page.as_str() {
                    "NextSong" => assert!((meta.time_ms - *song_end_ms).abs() <= 1),
                    "Login" | "Logout" | "Cancel" => assert_eq!(meta.time_ms, *last_ms + 1_000),
                    _ => {}
                }
                assert!(page != "NextSong" || event["auth"] == "Logged In");
                assert!(user.is_none() || meta.user_id.is_none() || *user == meta.user_id);
                *user = user.or(meta.user_id);
                (*last_item, *last_ms, *song_end_ms) = (item, meta.time_ms, meta.time_ms + song_ms);
                *last_page = page.to_owned();
            }
        }
        assert!(meta.user_id.is_none_or(|user| !cancelled.contains(&user)), "an event after the cancellation");
        if page == "Cancellation Confirmation" {
            assert_eq!(event["auth"], "Cancelled");
            cancelled.extend(meta.user_id);
        }
    }
    assert!(!cancelled.is_empty());
}

#[test]
fn guests_who_register_become_users() {
    let growing = SimulatorOptions { topics: vec![Topic::PageViewEvents], users: 500, ..options() };
    let mut submitted = BTreeMap::new();
    let mut registered = 0;
    for (_, payload) in events(growing, 100_000) {
        let event = json(&payload);
        let session = event["sessionId"].as_u64().unwrap();
        if event["page"] == "Submit Registration" {
            assert_eq!(event["auth"], "Guest");
            submitted.insert(session, event["ts"].clone());
        } else if let Some(at) = submitted.get(&session).filter(|_| event["auth"] == "Logged In") {
            assert_eq!(event["registration"], *at);
            registered += 1;
        }
    }
    assert!(registered > 0);
}

#[test]
fn parallel_instances_share_no_user_and_no_session() {
    let mut users: BTreeMap<u64, u32> = BTreeMap::new();
    let mut sessions: BTreeMap<u64, u32> = BTreeMap::new();
    for instance in 0..3 {
        let part = SimulatorOptions { instance, instances: 3, growth_per_year: 5.0, ..options() };
        for (meta, payload) in events(part, 10_000) {
            let event = json(&payload);
            assert_eq!(*users.entry(meta.user_id.unwrap()).or_insert(instance), instance);
            assert_eq!(*sessions.entry(event["sessionId"].as_u64().unwrap()).or_insert(instance), instance);
        }
    }
    assert!(users.len() > 500);
}

#[test]
fn skipping_gives_the_rest_of_the_stream() {
    for faults in [FaultShares::default(), FaultShares::spread(0.4)] {
        let options = SimulatorOptions { faults, ..all_topics() };
        let whole = events(options.clone(), 12_000);
        for index in [0, 1, 777, 11_000] {
            let mut simulator = Simulator::new(options.clone()).unwrap();
            assert_eq!(simulator.skip(index as u64), index as u64);
            assert_eq!(simulator.position(), index as u64);
            for wanted in &whole[index..] {
                let mut payload = Vec::new();
                let meta = simulator.next_event(&mut payload).unwrap();
                assert!((meta, payload) == *wanted);
            }
        }
    }
}

#[test]
fn a_stream_with_an_end_yields_all_that_it_held_back() {
    let late = FaultShares { late: 1.0, ..Default::default() };
    let day_ms = 86_400_000;
    let options = SimulatorOptions { end_ms: Some(options().start_ms + day_ms), ..options() };
    let good = events(options.clone(), usize::MAX);
    let mut all = events(SimulatorOptions { faults: late, ..options.clone() }, usize::MAX);
    assert!(good.len() > 1_000);
    assert!(all.iter().all(|(meta, _)| meta.fault == Some(Fault::Late)));
    assert!(!all.is_sorted_by_key(|(meta, _)| meta.time_ms));
    let payloads = |events: Vec<(EventMeta, Vec<u8>)>| {
        let mut payloads: Vec<_> = events.into_iter().map(|(_, payload)| payload).collect();
        payloads.sort();
        payloads
    };
    assert!(payloads(std::mem::take(&mut all)) == payloads(good.clone()));
    let mut simulator = Simulator::new(options).unwrap();
    assert_eq!(simulator.skip(u64::MAX), good.len() as u64);
    assert_eq!(simulator.next_event(&mut Vec::new()), None);
}

#[test]
fn faults_come_in_their_shares_and_change_nothing_else() {
    let shares = FaultShares {
        malformed: 0.01,
        missing_user: 0.02,
        bad_coordinates: 0.03,
        wrong_type: 0.04,
        late: 0.05,
        duplicate: 0.06,
        tombstone: 0.07,
    };
    let count = 50_000;
    let good: BTreeSet<Vec<u8>> = events(options(), count).into_iter().map(|(_, payload)| payload).collect();
    let faulty = events(SimulatorOptions { faults: shares, ..options() }, count);
    let mut counts: BTreeMap<Fault, f64> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for (meta, payload) in &faulty {
        match meta.fault {
            None | Some(Fault::Late) => assert!(good.contains(payload) && seen.insert(payload)),
            Some(Fault::Duplicate) => assert!(!seen.insert(payload)),
            Some(Fault::Tombstone) => assert!(payload.is_empty() && meta.is_tombstone()),
            Some(Fault::Malformed) => assert!(serde_json::from_slice::<Value>(payload).is_err()),
            Some(fault) => {
                json(payload);
                assert!(!good.contains(payload), "{fault:?}");
            }
        }
        if let Some(fault) = meta.fault {
            *counts.entry(fault).or_default() += 1.0 / count as f64;
        }
    }
    for fault in Fault::ALL {
        let (found, wanted) = (counts[&fault], shares.share(fault));
        assert!((found - wanted).abs() < wanted * 0.3, "{fault:?}: {found} instead of {wanted}");
    }
}

#[test]
fn more_events_come_by_day_than_by_night() {
    let damped = SimulatorOptions { users: 20_000, damping: 1.0, ..options() };
    let mut hours = [0_u32; 24];
    for (meta, _) in events(damped, 200_000) {
        hours[(meta.time_ms / 3_600_000 % 24) as usize] += 1;
    }
    // Sessions last for hours, so events lag behind the starts of sessions.
    assert!(hours[16] > 3 * hours[5], "{hours:?}");
}

#[test]
fn options_out_of_range_are_refused() {
    let check = |wrong: SimulatorOptions, words: &str| {
        let error = Simulator::new(wrong).unwrap_err();
        assert_eq!(error.kind(), crate::error::ErrorKind::Config);
        assert!(error.to_string().contains(words), "{error}");
    };
    check(SimulatorOptions { topics: vec![], ..options() }, "topics");
    check(SimulatorOptions { instance: 2, instances: 2, ..options() }, "instance");
    check(SimulatorOptions { instances: 0, ..options() }, "instances");
    check(SimulatorOptions { users: 0, ..options() }, "users");
    check(SimulatorOptions { users: u32::MAX, ..options() }, "2,000,000");
    check(SimulatorOptions { start_ms: -1, ..options() }, "start");
    check(SimulatorOptions { end_ms: Some(0), ..options() }, "end");
    check(SimulatorOptions { alpha: Duration::ZERO, ..options() }, "alpha");
    check(SimulatorOptions { beta: Duration::from_secs(1), ..options() }, "beta");
    check(SimulatorOptions { damping: 1.1, ..options() }, "damping");
    check(SimulatorOptions { growth_per_year: f64::NAN, ..options() }, "growth");
    check(SimulatorOptions { faults: FaultShares { late: -0.1, ..Default::default() }, ..options() }, "late");
    check(SimulatorOptions { faults: FaultShares::spread(1.2), ..options() }, "sum up");
    assert!(Simulator::new(SimulatorOptions { faults: FaultShares::spread(1.0), ..options() }).is_ok());
    assert!(Topic::from_name("listen").unwrap_err().what_to_do().unwrap().contains("listen_events"));
    assert_eq!(Topic::from_name("auth_events").unwrap(), Topic::AuthEvents);
}

/// Mostly numbers within `most`; now and then its ends, what is out of range, and what is no number.
fn number(most: f64) -> impl Strategy<Value = f64> {
    prop_oneof![
        30 => 0.0..=most,
        4 => Just(0.0),
        4 => Just(most),
        1 => prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(-0.1), Just(101.0)],
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn no_options_panic(
        seed in any::<u64>(),
        users in prop_oneof![20 => 5..40_u32, 1 => Just(0), 1 => Just(u32::MAX)],
        (instance, instances) in (0..5_u32, 0..5_u32),
        start_ms in prop_oneof![
            8 => 1_000_000_000_000..2_000_000_000_000_i64,
            2 => Just(0),
            1 => Just(7_258_118_399_999),
            1 => any::<i64>(),
        ],
        length_ms in proptest::option::of(0..1_000_000_000_000_i64),
        alpha_ms in prop_oneof![Just(1), Just(31_536_000_000), 1..1_000_000_u64],
        beta_s in prop_oneof![Just(60), Just(315_360_000), 60..10_000_000_u64],
        (growth, attrition) in (number(10.0), number(100.0)),
        (damping, weekend_damping, faults) in (number(1.0), number(1.0), number(1.0)),
        topics in proptest::sample::subsequence(Topic::ALL.to_vec(), 0..=4),
    ) {
        let options = SimulatorOptions {
            seed,
            topics,
            users,
            start_ms,
            end_ms: length_ms.map(|length_ms| start_ms.saturating_add(length_ms)),
            instance,
            instances,
            alpha: Duration::from_millis(alpha_ms),
            beta: Duration::from_secs(beta_s),
            growth_per_year: growth,
            attrition_per_year: attrition,
            damping,
            weekend_damping,
            faults: FaultShares::spread(faults),
        };
        let Ok(mut simulator) = Simulator::new(options) else { return Ok(()) };
        let mut payload = Vec::new();
        for _ in 0..100 {
            payload.clear();
            let Some(meta) = simulator.next_event(&mut payload) else { break };
            prop_assert!(meta.fault.is_some() || serde_json::from_slice::<Value>(&payload).is_ok());
        }
    }
}
