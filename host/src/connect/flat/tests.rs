use proptest::prelude::*;

use super::*;
use crate::serve;

fn config(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// The least that makes a pipeline.
const LEAST: [(&str, &str); 8] = [
    ("name", "plays"),
    ("connector.class", "wasmill"),
    ("topics", "plays, clicks"),
    ("schema", "ts:long!, level:string, price:decimal(10,2), address:struct<city:string!,zip:int>"),
    ("table.location", "/t/table"),
    ("table.event_time.column", "ts"),
    ("table.event_time.unit", "ms"),
    ("dead_letters.location", "/t/dead_letters"),
];

fn good(more: &[(&str, &str)]) -> BTreeMap<String, String> {
    let mut all = config(&LEAST);
    all.insert("checkpoint.location".to_owned(), "/t/checkpoints".to_owned());
    // Tests have no such variable.
    all.insert("source.kafka.brokers".to_owned(), "localhost:9092".to_owned());
    all.extend(config(more));
    all
}

#[test]
fn a_configuration_is_a_pipeline() {
    let file = to_file(&good(&[
        ("tasks.max", "4"),
        ("source.kafka.start.timestamp", "1700000000000"),
        ("source.kafka.options.client.id", "wasmill"),
        ("checkpoint.interval", "5s"),
        ("table.max_open_hive_partitions", "1_000"),
        ("storage.sync_on_close", "false"),
        ("schema.seenAt.type", "timestamp(us)"),
        ("schema.seenAt.format", "rfc3339"),
        ("schema.seenAt.required", "true"),
        ("limits.workers", ""),
    ]))
    .unwrap();
    let pipeline = serve::check(&file, None).unwrap_or_else(|unfit| panic!("{unfit:?}\n{file}"));
    let names: Vec<&str> = pipeline.schema.fields.iter().map(|field| field.name.as_str()).collect();
    assert_eq!(names, ["ts", "level", "price", "address", "seenAt"], "{file}");
    assert!(file.contains("connect-plays") && file.contains("1700000000000"), "{file}");
}

#[test]
fn brokers_are_the_servers_own_unless_they_are_told() {
    let mut told = good(&[]);
    told.remove("source.kafka.brokers");
    let file = to_file(&told).unwrap();
    assert!(file.contains("env = \"WASMILL_BROKERS\""), "{file}");
    assert_eq!(of_file(&file).get("source.kafka.brokers"), None);
}

#[test]
fn values_from_outside_stay_outside() {
    for (text, wanted) in [
        ("${env:TOKEN}", "token = { env = \"TOKEN\" }"),
        ("${file:/run/secrets/token}", "token = { file = \"/run/secrets/token\" }"),
        ("{ env = \"TOKEN\", default = \"none\" }", "token = { default = \"none\", env = \"TOKEN\" }"),
    ] {
        let file = to_file(&config(&[("name", "plays"), ("webhook.token", text)])).unwrap();
        let parsed: Table = file.parse().unwrap();
        let expected: Table = wanted.parse().unwrap();
        assert_eq!(parsed["webhook"]["token"], expected["token"], "{file}");
        assert!(is_from_outside(text));
        assert_eq!(to_file(&of_file(&file)), Ok(file));
    }
    for inside in ["plain", "{\"json\": 1}", "$5", "${vault:x:y}"] {
        assert!(!is_from_outside(inside), "{inside}");
    }
}

#[test]
fn all_that_is_wrong_is_told_by_its_key() {
    let wrong = to_file(&good(&[
        ("checkpoint.intervall", "5s"),
        ("limits.workers", "many"),
        ("storage.sync_on_close", "perhaps"),
        ("value.converter", "x"),
        ("schema", "ts"),
        ("source.file.path", "/etc/passwd"),
    ]))
    .unwrap_err();
    let keys: Vec<&str> = wrong.iter().map(|wrong| wrong.key.as_str()).collect();
    assert_eq!(
        keys,
        [
            "checkpoint.intervall",
            "limits.workers",
            "schema",
            "source.file.path",
            "storage.sync_on_close",
            "value.converter"
        ]
    );
    assert!(wrong[0].why.ends_with("did you mean checkpoint.interval?"), "{wrong:?}");
}

#[test]
fn a_file_that_was_applied_by_hand_has_a_configuration() {
    let file = "[pipeline]\nname = \"plays\"\ntransforms = \"deployed\"\n\
        [source.kafka]\nbrokers = { env = \"WASMILL_BROKERS\" }\ntopics = [\"b\", \"a\"]\ngroup = \"plays\"\n\
        options = { \"session.timeout.ms\" = \"6000\" }\nstart = { timestamp = 17 }\n\
        [schema]\nz = \"long!\"\na = { type = \"timestamp(us)\", format = \"rfc3339\", required = true }\n\
        [table]\nlocation = \"/t/table\"\nevent_time = { column = \"z\", unit = \"ms\" }\npartition_by = [\"day\"]\n";
    let flat = of_file(file);
    let wanted = config(&[
        ("connector.class", "wasmill"),
        ("name", "plays"),
        ("pipeline.transforms", "deployed"),
        ("topics", "b,a"),
        ("source.kafka.group", "plays"),
        ("source.kafka.options.session.timeout.ms", "6000"),
        ("source.kafka.start.timestamp", "17"),
        ("schema", "z:long!, a:timestamp(us)!"),
        ("schema.a.format", "rfc3339"),
        ("table.location", "/t/table"),
        ("table.event_time.column", "z"),
        ("table.event_time.unit", "ms"),
        ("table.partition_by", "day"),
    ]);
    assert_eq!(flat, wanted);
}

proptest! {
    /// There and back again.
    #[test]
    fn a_configuration_survives_its_file(
        texts in prop::collection::btree_map("[a-z]{1,8}(\\.[a-z]{1,8}){0,3}", "[ -~]{0,20}", 0..5),
        columns in prop::collection::vec(("[a-z][a-zA-Z0-9_]{0,7}", "[a-z]{1,6}(<[a-z:,]{1,9}>)?!?"), 1..6),
        list in prop::collection::vec("[a-z]{1,6}", 1..4),
        number in 0_u32..,
        switch: bool,
    ) {
        let mut flat = config(&[("name", "plays"), ("connector.class", "wasmill")]);
        for (option, text) in texts {
            // What is empty is left out, what is around a value is not kept, and a value from outside is another thing.
            let text = text.trim();
            if !text.is_empty() && !is_from_outside(text) {
                flat.insert(format!("source.kafka.options.{option}"), text.to_owned());
            }
        }
        let mut seen = std::collections::BTreeSet::new();
        let columns: Vec<String> = columns.into_iter().filter(|(name, _)| seen.insert(name.clone()))
            .map(|(name, kind)| format!("{name}:{kind}")).collect();
        flat.insert("schema".to_owned(), columns.join(", "));
        flat.insert("topics".to_owned(), list.join(","));
        flat.insert("limits.workers".to_owned(), number.to_string());
        flat.insert("storage.sync_on_close".to_owned(), switch.to_string());
        let file = to_file(&flat).unwrap();
        prop_assert_eq!(of_file(&file), flat, "{}", file);
    }
}
