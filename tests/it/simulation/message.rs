//! The messages of a simulated topic, and what each must turn into: worked out here from how the message was made, without
//! any code of the pipeline.

use super::executor::Simulator;

/// The right time at the start of a run, in milliseconds since 1970: 22:13:20 in UTC.
pub(super) const START_MS: i64 = 1_700_000_000_000;

/// Event times begin here: before the start of the run, so that most events are late.
pub(super) const FIRST_EVENT_MS: i64 = 1_600_000_000_000;

/// An hour in milliseconds.
pub(super) const HOUR_MS: i64 = 3_600_000;

/// A message's identity: topic partition and offset.
pub(super) type MessageId = (i32, i64);

/// What a message must turn into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// A row of the table.
    Row(Row),
    /// A dead letter, with the name of its stage and its reason.
    DeadLetter { stage: &'static str, reason: &'static str },
    /// Nothing: a transform drops it.
    Filtered,
}

/// A row of the table, and where it belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) id: i64,
    pub(super) ts: i64,
    /// Only in files of deployments whose schema has the column.
    pub(super) extra: Option<i64>,
    pub(super) hive_partition: String,
}

/// A message as it was produced.
#[derive(Debug, Clone)]
pub(super) struct Produced {
    pub(super) payload: Option<Vec<u8>>,
    pub(super) outcome: Outcome,
    /// What its dead letter must turn into when an operator replays it.
    pub(super) replayed: Outcome,
}

/// The number that stands for a message in column `id`.
pub(super) fn row_id((partition, offset): MessageId) -> i64 {
    i64::from(partition) * 1_000_000 + offset
}

/// The message whose row has this number.
pub(super) fn message_of(row_id: i64) -> MessageId {
    ((row_id / 1_000_000) as i32, row_id % 1_000_000)
}

/// Draws a message: most are events of one of `hours` hours, some are not what they should be. With a `guest`, rows pass
/// the transform of [`super::guest`].
pub(super) fn draw(simulator: &Simulator, message: MessageId, hours: u64, guest: bool) -> Produced {
    let id = row_id(message);
    let dead = |stage, reason| Outcome::DeadLetter { stage, reason };
    let both = |payload, outcome: Outcome| Produced { payload, replayed: outcome.clone(), outcome };
    let text = |text: String, outcome| both(Some(text.into_bytes()), outcome);
    match simulator.draw(24) {
        0 => both(None, dead("decode", "null-payload")),
        1 => text("{\"id\": broken".to_owned(), dead("decode", "not-json")),
        2 => text(format!("[{id}]"), dead("decode", "not-an-object")),
        3 => text(format!("{{\"id\":\"{id}\",\"ts\":1}}"), dead("decode", "wrong-type")),
        4 => text("{\"ts\":1}".to_owned(), dead("decode", "missing-field")),
        5 if !guest => text(format!("{{\"id\":{id},\"ts\":null}}"), dead("table", "no-event-time")),
        6 if !guest => {
            // The operator's deployment takes events of any time.
            let far = START_MS + 400 * 24 * HOUR_MS;
            let row = Row { id, ts: far, extra: None, hive_partition: hive_partition(far) };
            let letter = text(format!("{{\"id\":{id},\"ts\":{far}}}"), dead("table", "event-time-out-of-range"));
            Produced { replayed: Outcome::Row(row), ..letter }
        }
        _ => event(id, FIRST_EVENT_MS + simulator.draw(hours) as i64 * HOUR_MS + id % HOUR_MS, guest),
    }
}

fn event(id: i64, ts: i64, guest: bool) -> Produced {
    let extra = (id % 3 != 0).then_some(id * 3);
    let payload = match extra {
        Some(extra) => format!("{{\"id\":{id},\"ts\":{ts},\"extra\":{extra}}}"),
        None => format!("{{\"id\":{id},\"ts\":{ts}}}"),
    };
    let row = Outcome::Row(Row { id, ts, extra, hive_partition: hive_partition(ts) });
    let outcome = match id % 4 {
        1 if guest => Outcome::Filtered,
        2 if guest => Outcome::DeadLetter { stage: "transform", reason: "even" },
        _ => row.clone(),
    };
    Produced { payload: Some(payload.into_bytes()), outcome, replayed: row }
}

/// `day=<day of the month>/hour=<hour>` of a time in milliseconds since 1970.
fn hive_partition(ms: i64) -> String {
    let mut day = ms / (24 * HOUR_MS);
    let mut year = 1970;
    let leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    while day >= 365 + i64::from(leap(year)) {
        day -= 365 + i64::from(leap(year));
        year += 1;
    }
    let february = 28 + i64::from(leap(year));
    for month in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if day < month {
            break;
        }
        day -= month;
    }
    format!("day={:02}/hour={:02}", day + 1, ms / HOUR_MS % 24)
}
