//! The events that are decoded: what kinds, and how many. The same on each run and each machine.

use anyhow::{Context as _, Result, anyhow, ensure};
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};
use wasmill::decode::schema::{EventField, EventSchema, EventType};
use wasmill::eventsim::{Simulator, SimulatorOptions, Topic};

/// Messages of one batch, as a worker reads them.
pub(crate) const BATCH: usize = 4_096;

/// So many bytes of JSON a case has at least: more than any cache holds, and long enough for the clock.
const CASE_BYTES: usize = 24_000_000;

/// One kind of events.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) schema: EventSchema,
    /// The topic whose events these are: they are there in all formats. `None`: in JSON alone.
    pub(crate) topic: Option<Topic>,
    /// In JSON; whole batches.
    pub(crate) events: Vec<Vec<u8>>,
}

/// What is done to events that the simulator made.
#[derive(Clone, Copy, Default)]
struct Changes {
    /// Of a hundred fields that may be missing, so many are.
    missing_percent: u32,
    is_shuffled: bool,
    is_pretty: bool,
}

/// All cases, one at a time.
pub(crate) fn all() -> impl Iterator<Item = Result<Case>> {
    let makers: [fn() -> Result<Case>; 13] = [
        || simulated("listen events", Topic::ListenEvents),
        || simulated("page views", Topic::PageViewEvents),
        || made("3 columns", &tiny(), tiny_event),
        || made("200 columns", &wide(), wide_event),
        || made("10 kB, plain text", &long(), |rng, _| long_event(rng, false)),
        || made("10 kB, escapes and umlauts", &long(), |rng, _| long_event(rng, true)),
        || made("nested lists", &lists(), lists_event),
        || made("lists of structs", &orders(), orders_event),
        || made("a struct and a map", &visits(), visits_event),
        || changed("30 % of keys missing", Changes { missing_percent: 30, ..Changes::default() }),
        || changed("keys in random order", Changes { is_shuffled: true, ..Changes::default() }),
        || changed("pretty-printed", Changes { is_pretty: true, ..Changes::default() }),
        || {
            let name = "missing, random order, pretty-printed";
            changed(name, Changes { missing_percent: 30, is_shuffled: true, is_pretty: true })
        },
    ];
    makers.into_iter().map(|make| make())
}

/// An object whose keys stand in this order.
struct Members<'a>(Vec<(&'a str, Value)>);

impl Serialize for Members<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

/// Whole batches of what `event` makes.
fn fill(mut event: impl FnMut() -> Result<Vec<u8>>) -> Result<Vec<Vec<u8>>> {
    let (mut events, mut bytes) = (Vec::new(), 0);
    while bytes < CASE_BYTES || events.len() % BATCH != 0 {
        let event = event()?;
        bytes += event.len();
        events.push(event);
    }
    Ok(events)
}

fn schema(fields: &[(String, &str)]) -> Result<EventSchema> {
    let field = |(name, text): &(String, &str)| {
        let (kind, required) = EventType::parse(text).map_err(|why| anyhow!(why))?;
        Ok(EventField { name: name.clone(), kind, required })
    };
    let fields = fields.iter().map(field).collect::<Result<_>>()?;
    EventSchema::new(fields).map_err(|why| anyhow!(why))
}

/// Half a day between two sessions of a user, as the main job's benchmark has it.
fn simulator(topic: Topic) -> Result<Simulator> {
    let beta = std::time::Duration::from_secs(12 * 3_600);
    Ok(Simulator::new(SimulatorOptions { topics: vec![topic], beta, ..SimulatorOptions::default() })?)
}

fn simulated(name: &'static str, topic: Topic) -> Result<Case> {
    let mut simulator = simulator(topic)?;
    let events = fill(|| {
        let mut event = Vec::new();
        simulator.next_event(&mut event).context("the simulation ended early")?;
        Ok(event)
    })?;
    Ok(Case { name, schema: schema(&columns(topic))?, topic: Some(topic), events })
}

/// The shipped pipeline's columns, and what page views have more.
fn columns(topic: Topic) -> Vec<(String, &'static str)> {
    let views: &[_] = match topic {
        Topic::PageViewEvents => &[("page", "string"), ("method", "string"), ("status", "int")],
        _ => &[],
    };
    let listens = [
        ("artist", "string"),
        ("song", "string"),
        ("duration", "double"),
        ("ts", "long!"),
        ("sessionId", "int"),
        ("auth", "string"),
        ("level", "string"),
        ("itemInSession", "int"),
        ("city", "string"),
        ("zip", "string"),
        ("state", "string"),
        ("userAgent", "string"),
        ("lon", "double"),
        ("lat", "double"),
        ("userId", "int"),
        ("lastName", "string"),
        ("firstName", "string"),
        ("gender", "string"),
        ("registration", "long"),
    ];
    listens.iter().chain(views).map(|(name, kind)| ((*name).to_owned(), *kind)).collect()
}

/// Listening events, written otherwise.
fn changed(name: &'static str, changes: Changes) -> Result<Case> {
    let mut simulator = simulator(Topic::ListenEvents)?;
    let columns = columns(Topic::ListenEvents);
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let events = fill(|| {
        let mut event = Vec::new();
        simulator.next_event(&mut event).context("the simulation ended early")?;
        let mut object: Map<String, Value> = serde_json::from_slice(&event)?;
        let mut members = Vec::with_capacity(columns.len());
        for (name, kind) in &columns {
            let is_missing = !kind.ends_with('!') && rng.random_range(0..100) < changes.missing_percent;
            if let Some(value) = object.remove(name)
                && !is_missing
            {
                members.push((name.as_str(), value));
            }
        }
        ensure!(object.is_empty(), "the simulator has fields that are no column: {object:?}");
        if changes.is_shuffled {
            members.shuffle(&mut rng);
        }
        let members = Members(members);
        Ok(if changes.is_pretty { serde_json::to_vec_pretty(&members)? } else { serde_json::to_vec(&members)? })
    })?;
    Ok(Case { name, schema: schema(&columns)?, topic: None, events })
}

type Columns = Vec<(String, &'static str)>;

/// Events of these columns, one value for each.
fn made(name: &'static str, columns: &Columns, event: fn(&mut ChaCha8Rng, usize) -> Vec<Value>) -> Result<Case> {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let mut number = 0;
    let events = fill(|| {
        number += 1;
        let values = event(&mut rng, number);
        ensure!(values.len() == columns.len(), "{name}: not a value for each column");
        Ok(serde_json::to_vec(&Members(columns.iter().map(|(name, _)| name.as_str()).zip(values).collect()))?)
    })?;
    Ok(Case { name, schema: schema(columns)?, topic: None, events })
}

fn named(columns: &[(&str, &'static str)]) -> Columns {
    columns.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect()
}

fn word(rng: &mut ChaCha8Rng) -> String {
    let length = rng.random_range(3..12);
    (0..length).map(|_| char::from(rng.random_range(b'a'..=b'z'))).collect()
}

/// A measured value: with as many digits behind the point as sensors and shops give.
fn amount(rng: &mut ChaCha8Rng) -> f64 {
    f64::from(rng.random_range(-1_000_000..10_000_000)) / 1_000.0
}

fn tiny() -> Columns {
    named(&[("id", "string"), ("ts", "long!"), ("value", "double")])
}

fn tiny_event(rng: &mut ChaCha8Rng, number: usize) -> Vec<Value> {
    vec![json!(format!("sensor-{}", rng.random_range(0..5_000))), json!(1_735_689_600_000 + number), json!(amount(rng))]
}

fn wide() -> Columns {
    let kinds = ["string", "long", "double", "int", "boolean"];
    (0..200).map(|index| (format!("attribute_{index}"), kinds[index % kinds.len()])).collect()
}

fn wide_event(rng: &mut ChaCha8Rng, number: usize) -> Vec<Value> {
    let value = |index| match index % 5 {
        0 => json!(word(rng)),
        1 => json!(1_735_689_600_000 + number * 1_000 + index),
        2 => json!(amount(rng)),
        3 => json!(rng.random_range(-1_000..100_000)),
        _ => json!(rng.random_bool(0.5)),
    };
    (0..200).map(value).collect()
}

fn long() -> Columns {
    named(&[("id", "long!"), ("author", "string"), ("likes", "int"), ("score", "double"), ("text", "string")])
}

fn long_event(rng: &mut ChaCha8Rng, is_marked_up: bool) -> Vec<Value> {
    let mut text = String::new();
    while text.len() < 9_900 {
        text += &word(rng);
        text += match rng.random_range(0..if is_marked_up { 12 } else { 6 }) {
            6 => "\n",
            7 => "ß \"",
            8 => "\" – ",
            9 => "ä",
            10 => "\t",
            0 => ". ",
            1 => ", ",
            _ => " ",
        };
    }
    let (likes, score) = (rng.random_range(0..9_000), amount(rng));
    vec![json!(rng.random_range(0..1_i64 << 48)), json!(word(rng)), json!(likes), json!(score), json!(text)]
}

fn lists() -> Columns {
    named(&[
        ("id", "long!"),
        ("tags", "list<string>"),
        ("readings", "list<double>"),
        ("counts", "list<long>"),
        ("path", "list<list<double>>"),
    ])
}

fn list(rng: &mut ChaCha8Rng, most: usize, item: impl Fn(&mut ChaCha8Rng) -> Value) -> Value {
    let length = rng.random_range(0..=most);
    (0..length).map(|_| item(rng)).collect()
}

fn lists_event(rng: &mut ChaCha8Rng, number: usize) -> Vec<Value> {
    vec![
        json!(number),
        list(rng, 8, |rng| json!(word(rng))),
        list(rng, 20, |rng| json!(amount(rng))),
        list(rng, 10, |rng| json!(rng.random_range(0..1_000_000))),
        list(rng, 6, |rng| json!([amount(rng), amount(rng)])),
    ]
}

fn orders() -> Columns {
    let items = "list<struct<name:string,price:double,quantity:int,sku:string!>>";
    named(&[("order", "long!"), ("customer", "string"), ("items", items), ("total", "double")])
}

fn orders_event(rng: &mut ChaCha8Rng, number: usize) -> Vec<Value> {
    let item = |rng: &mut ChaCha8Rng| {
        let (quantity, sku) = (rng.random_range(1..20), format!("{:08}", rng.random_range(0..90_000_000)));
        json!({ "name": word(rng), "price": amount(rng), "quantity": quantity, "sku": sku })
    };
    vec![json!(number), json!(word(rng)), list(rng, 6, item), json!(amount(rng))]
}

fn visits() -> Columns {
    let place = "struct<city:string,lat:double,lon:double,zip:string>";
    named(&[("ts", "long!"), ("place", place), ("labels", "map<string,string>"), ("page", "string")])
}

fn visits_event(rng: &mut ChaCha8Rng, number: usize) -> Vec<Value> {
    let zip = format!("{:05}", rng.random_range(0..99_999));
    let place = json!({ "city": word(rng), "lat": amount(rng), "lon": amount(rng), "zip": zip });
    let labels: Map<String, Value> = ["app", "browser", "region", "release", "team"]
        .into_iter()
        .map(|key| (key.to_owned(), json!(word(rng))))
        .collect();
    vec![json!(1_735_689_600_000 + number), place, json!(labels), json!(word(rng))]
}
