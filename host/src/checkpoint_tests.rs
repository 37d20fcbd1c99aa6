use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn record() -> Record {
    let file = FileRecord {
        staged: "/t/_staging/a".into(),
        target: "/t/day=1/a.parquet".into(),
        rows: 3,
        bytes: 700,
        min_event_time_us: Some(-5),
        max_event_time_us: None,
    };
    Record {
        format: 1,
        sequence: 7,
        id: Id(0xabc),
        predecessor: Some(Id(1)),
        take_over: Id(2),
        pipeline: "p".into(),
        topic: "t".into(),
        topic_partition: 3,
        topic_identity: "x".into(),
        start: 10,
        next: 20,
        rows: RowCounts { messages: 9, written: 3, filtered: 6, dead_lettered: 0 },
        files: vec![file],
        dead_letter_files: Vec::new(),
        deployment: DeploymentRecord::default(),
        watermark_us: Some(i64::MIN),
        written_at_ms: i64::MAX,
        kind: RecordKind::Messages,
        note: None,
        pass: 0,
        replayed: Vec::new(),
    }
}

/// A later host's record of the same format may have fields that this program does not know.
fn with_field(bytes: &[u8], name: &str, value: Value) -> serde_json::Map<String, Value> {
    let mut fields: serde_json::Map<String, Value> = serde_json::from_slice(bytes).unwrap();
    fields.insert(name.to_owned(), value);
    fields
}

#[test]
fn a_record_is_read_back_as_a_file_and_as_a_line() {
    let note = Note { who: "me".into(), why: "\"ä\n".into(), accepted: vec!["/t/a".into()] };
    let accepted = Record {
        format: 2,
        next: 10,
        kind: RecordKind::Accepted,
        note: Some(note),
        pass: 2,
        files: Vec::new(),
        rows: RowCounts::default(),
        ..record()
    };
    for record in [record(), accepted] {
        assert_eq!(Record::from_bytes(7, &record.to_bytes()).unwrap(), record);
        let line = record.to_line();
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        assert_eq!(Record::from_line(&line).unwrap(), record);
        assert!(matches!(Record::from_bytes(8, &record.to_bytes()), Err(BadRecord::Contradiction(_))));
    }
}

#[test]
fn records_without_a_checksum_and_with_more_fields_are_read() {
    let record = record();
    let bytes = record.to_bytes();
    let mut old = with_field(&bytes, "x", Value::Null);
    old.remove("x");
    old.remove("checksum");
    assert_eq!(Record::from_bytes(7, &serde_json::to_vec(&old).unwrap()).unwrap(), record);
    let mut later = with_field(&bytes, "new_field", "of a later program".into());
    later.insert("checksum".to_owned(), checksum(&later).into());
    assert_eq!(Record::from_bytes(7, &serde_json::to_vec(&later).unwrap()).unwrap(), record);
    // That field is a part of what is sealed.
    later.insert("new_field".to_owned(), "of somebody else".into());
    assert!(Record::from_bytes(7, &serde_json::to_vec(&later).unwrap()).is_err());
}

#[test]
fn a_later_pass_needs_the_later_format_and_other_names() {
    let again = Record { pass: 1, ..record() };
    assert_eq!((record().lowest_format(), again.lowest_format()), (1, 2));
    assert!(Record::from_bytes(7, &again.to_bytes()).is_err(), "format 1 cannot express it");
    let topic_partition = TopicPartition::new("t", 3);
    assert_eq!(target_name(&topic_partition, 10, 0, Occasion::Pass(0)), "part-t-3-10-0.parquet");
    assert_eq!(target_name(&topic_partition, 10, 0, Occasion::Pass(1)), "part-t-3-10-0-pass1.parquet");
}

proptest! {
    #[test]
    fn a_file_tells_whose_it_is(
        topic in "[a-z0-9._-]{1,12}", partition in 0..1_000i32, start in 0..i64::MAX, number in 0..50usize, again in 0..3u32,
    ) {
        let topic_partition = TopicPartition::new(topic, partition);
        let occasions = [Occasion::Pass(again), Occasion::Replay(start.unsigned_abs())];
        for occasion in occasions {
            let name = target_name(&topic_partition, start, number, occasion);
            prop_assert_eq!(topic_partition_of(&name), Some(topic_partition.clone()), "{}", name);
        }
    }

    #[test]
    fn other_names_tell_nothing(name in "(part-)?[a-z0-9-]{0,12}(\\.parquet)?") {
        // Whatever is taken for one of ours could be one.
        if let Some(of) = topic_partition_of(&name) {
            prop_assert!(name.starts_with(&format!("part-{}-{}", of.topic, of.partition)), "{}", name);
        }
    }
}

/// A replay of three letters at position 10.
fn replay() -> Record {
    let letters = ReplayedLetters { file: "/d/day=1/b.parquet".into(), rows: vec![(0, 2), (9, 10)] };
    let (kind, note) = (RecordKind::Replayed, Some(Note::default()));
    let rows = RowCounts { messages: 3, written: 3, ..RowCounts::default() };
    Record { format: 3, next: 10, kind, note, rows, replayed: vec![letters], ..record() }
}

#[test]
fn a_replay_names_its_letters_and_moves_nothing() {
    let record = replay();
    assert_eq!(Record::from_bytes(7, &record.to_bytes()).unwrap(), record);
    assert!(!record.is_fence());
    let name = target_name(&TopicPartition::new("t", 3), 10, 0, Occasion::Replay(7));
    assert_eq!(name, "part-t-3-10-0-replay7.parquet");
    let rows = |rows: &[(u64, u64)]| vec![ReplayedLetters { file: "/d/b.parquet".into(), rows: rows.to_vec() }];
    let wrong = [
        Record { next: 11, ..replay() },
        Record { format: 2, ..replay() },
        Record { replayed: rows(&[(0, 2)]), ..replay() },
        Record { replayed: rows(&[(0, 2), (1, 2)]), ..replay() },
        Record { replayed: Vec::new(), ..replay() },
        Record { kind: RecordKind::Accepted, ..replay() },
    ];
    for record in wrong {
        assert!(matches!(Record::from_bytes(7, &record.to_bytes()), Err(BadRecord::Contradiction(_))), "{record:?}");
    }
}

proptest! {
    #[test]
    fn no_digit_can_be_changed_unseen(at in any::<prop::sample::Index>(), digit in b'0'..=b'9') {
        let bytes = record().to_bytes();
        let digits: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at].is_ascii_digit()).collect();
        let at = digits[at.index(digits.len())];
        prop_assume!(bytes[at] != digit);
        let mut edited = bytes;
        edited[at] = digit;
        prop_assert!(Record::from_bytes(7, &edited).is_err());
    }
}
