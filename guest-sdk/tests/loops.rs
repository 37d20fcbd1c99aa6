//! The loops over columns against a naive model: rows as owned values, judged one by one.
//!
//! Columns come with and without nulls, plain and as dictionaries with entries that nothing refers to, and with row
//! counts that do and do not fill a byte of a bitmap.

use proptest::prelude::*;
use wasmill_sdk::memmem::Finder;
use wasmill_sdk::prelude::*;
use wasmill_sdk::testing::{Table, check_output, run};
use wasmill_sdk::wit::{Column, Dictionary, Field, Values, VarBytes};

/// A row of the model.
#[derive(Debug, Clone)]
struct Owned {
    name: Option<String>,
    flag: Option<bool>,
    small: Option<i32>,
    big: Option<i64>,
    real: Option<f64>,
    single: Option<f32>,
    raw: Option<Vec<u8>>,
    at: Option<i64>,
}

#[derive(Reads)]
struct Row<'a> {
    name: &'a str,
    flag: Option<bool>,
    small: i32,
    big: Option<i64>,
    real: f64,
    single: Option<f32>,
    raw: Option<&'a [u8]>,
    at: Option<Timestamp>,
    #[reads(optional)]
    absent: Option<&'a str>,
}

/// Required fields that are null, in the order of the fields: the first is the detail.
fn first_null(row: &Owned) -> Option<&'static str> {
    let required = [("name", row.name.is_none()), ("small", row.small.is_none()), ("real", row.real.is_none())];
    required.into_iter().find(|(_, is_null)| *is_null).map(|(name, _)| name)
}

#[filter]
fn keep(row: &Row) -> bool {
    row.absent.is_none() && row.name.len().is_multiple_of(2) && row.flag != Some(false)
}

fn model_keep(row: &Owned) -> bool {
    row.name.as_deref().is_some_and(|name| name.len() % 2 == 0) && row.flag != Some(false)
}

#[derive(Debug, PartialEq, Reasons)]
enum Problem {
    /// Too small.
    TooSmall(i32),
    /// Not a number that counts.
    Odd { real: f64, big: String },
}

#[validate]
fn check(row: &Row) -> Result<(), Problem> {
    if row.small < 0 {
        return Err(Problem::TooSmall(row.small));
    }
    match row.real > 0.5 {
        true => Err(Problem::Odd { real: row.real, big: format!("{:?}", row.big) }),
        false => Ok(()),
    }
}

#[derive(Debug, PartialEq, Writes)]
struct Added<'a> {
    name: Option<&'a str>,
    #[writes(rename = "nameLength")]
    length: i32,
    sign: &'static str,
    half: Option<&'static str>,
    raw: Option<Vec<u8>>,
    flag: bool,
    at: Option<Timestamp>,
}

fn sign(small: i32) -> &'static str {
    match small {
        i32::MIN..0 => "negative",
        0 => "zero",
        _ => "positive",
    }
}

#[enrich(drops = ["big"])]
fn add<'a>(row: &Row<'a>) -> Result<Added<'a>, Problem> {
    if row.small == i32::MIN {
        return Err(Problem::TooSmall(row.small));
    }
    Ok(Added {
        name: row.name.get(1..),
        length: row.name.len() as i32,
        sign: sign(row.small),
        half: (row.real < 0.5).then_some("lower"),
        raw: row.raw.map(|raw| raw.iter().rev().copied().collect()),
        flag: row.single.is_some(),
        at: row.at,
    })
}

#[derive(Writes)]
struct Word {
    word: String,
}

#[transform]
fn words(row: &Row) -> Vec<Word> {
    row.name.split('a').skip(1).map(|word| Word { word: word.to_owned() }).collect()
}

#[derive(Reads)]
struct Name<'a> {
    name: Option<&'a str>,
}

#[derive(Settings)]
struct Wanted {
    needle: String,
}

/// Keeps the rows whose name contains the needle, by one search over all bytes.
#[transform]
struct Containing(Finder<'static>);

impl Columnar for Containing {
    type Settings = Wanted;
    type Reads = Name<'static>;
    type Writes = ();
    type Reasons = Infallible;

    fn start(settings: Wanted) -> Result<Containing, String> {
        Ok(Containing(Finder::new(&settings.needle).into_owned()))
    }

    fn process(&mut self, names: &NameColumns<'_>, out: &mut Outcome<()>) -> Result<(), String> {
        out.keep(names.name.contains(&self.0));
        Ok(())
    }
}

fn row() -> impl Strategy<Value = Owned> {
    let name = prop::option::weighted(0.9, "[ab\u{e9}]{0,5}");
    let raw = prop::option::of(prop::collection::vec(any::<u8>(), 0..4));
    (
        (name, any::<Option<bool>>(), prop::option::weighted(0.9, prop_oneof![any::<i32>(), Just(i32::MIN)])),
        (any::<Option<i64>>(), prop::option::weighted(0.9, 0.0..1.0), any::<Option<f32>>(), raw, any::<Option<i64>>()),
    )
        .prop_map(|((name, flag, small), (big, real, single, raw, at))| Owned {
            name,
            flag,
            small,
            big,
            real,
            single,
            raw,
            at,
        })
}

fn bitmap(bits: impl Iterator<Item = bool>) -> Vec<u8> {
    let bits: Vec<bool> = bits.collect();
    bits.chunks(8).map(|byte| byte.iter().rev().fold(0, |bits, &bit| bits << 1 | u8::from(bit))).collect()
}

fn var_bytes<T: AsRef<[u8]>>(values: &[T]) -> VarBytes {
    let mut texts = VarBytes { offsets: vec![0], bytes: Vec::new() };
    for value in values {
        texts.bytes.extend_from_slice(value.as_ref());
        texts.offsets.push(texts.bytes.len() as i32);
    }
    texts
}

/// As a dictionary: entries in reverse, each twice, and null rows point wherever.
fn dictionary(values: &[String]) -> Dictionary {
    let mut entries: Vec<&String> = values.iter().rev().flat_map(|value| [value, value]).collect();
    let unused = "unused a\u{e9}".to_owned();
    entries.push(&unused);
    let keys = (0..values.len()).map(|row| 2 * (values.len() - 1 - row) as u32 + row as u32 % 2).collect();
    Dictionary { keys, entries: var_bytes(&entries) }
}

fn table(rows: &[Owned], as_dictionary: bool) -> Table {
    fn column<T>(
        rows: &[Owned],
        get: impl Fn(&Owned) -> Option<T>,
        values: impl Fn(Vec<Option<T>>) -> Values,
    ) -> Column {
        let valid = rows.iter().any(|row| get(row).is_none());
        let validity = valid.then(|| bitmap(rows.iter().map(|row| get(row).is_some())));
        Column { values: values(rows.iter().map(get).collect()), validity }
    }
    // What stands at a null row is rubbish on purpose: nobody may look at it.
    let text = |row: &Owned| row.name.clone();
    let names = |values: Vec<Option<String>>| {
        let values: Vec<String> = values.into_iter().map(|value| value.unwrap_or_else(|| "aaaa".to_owned())).collect();
        if as_dictionary { Values::Dict(dictionary(&values)) } else { Values::Bytes(var_bytes(&values)) }
    };
    let columns = vec![
        column(rows, |row| row.small, |v| Values::Int32(v.into_iter().map(|v| v.unwrap_or(-77)).collect())),
        column(rows, text, names),
        column(rows, |row| row.flag, |v| Values::Bits(bitmap(v.into_iter().map(|v| v.unwrap_or(true))))),
        column(rows, |row| row.big, |v| Values::Int64(v.into_iter().map(|v| v.unwrap_or(-77)).collect())),
        column(rows, |row| row.real, |v| Values::Float64(v.into_iter().map(|v| v.unwrap_or(f64::NAN)).collect())),
        column(rows, |row| row.single, |v| Values::Float32(v.into_iter().map(|v| v.unwrap_or(7.0)).collect())),
        column(
            rows,
            |row| row.raw.clone(),
            |v| Values::Bytes(var_bytes(&v.into_iter().map(|v| v.unwrap_or_else(|| vec![0xff])).collect::<Vec<_>>())),
        ),
        column(rows, |row| row.at, |v| Values::Int64(v.into_iter().map(|v| v.unwrap_or(1)).collect())),
    ];
    let names = ["small", "name", "flag", "big", "real", "single", "raw", "at"];
    let formats = ["i", "u", "b", "l", "g", "f", "z", "tsu:UTC"];
    let field = |(name, format): (&&str, &str)| Field { name: (*name).into(), format: format.into(), nullable: true };
    Table::new(names.iter().zip(formats).map(field).collect(), columns).expect("a table as the contract has it")
}

fn null_rejects(rows: &[Owned]) -> Vec<(usize, String)> {
    let rows = rows.iter().enumerate();
    rows.filter_map(|(at, row)| first_null(row).map(|name| (at, format!("row {at}: null-input ({name})")))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_filter_keeps_what_the_model_keeps(rows in prop::collection::vec(row(), 0..40), dict: bool) {
        let outcome = run::<keep>(&[], &table(&rows, dict)).map_err(TestCaseError::fail)?;
        let complete = |at: &usize| first_null(&rows[*at]).is_none();
        let expected: Vec<usize> = (0..rows.len()).filter(complete).filter(|&at| model_keep(&rows[at])).collect();
        prop_assert_eq!(outcome.kept, expected);
        let rejected: Vec<String> = outcome.rejected.iter().map(ToString::to_string).collect();
        let expected: Vec<String> = null_rejects(&rows).into_iter().map(|(_, text)| text).collect();
        prop_assert_eq!(rejected, expected);
    }

    #[test]
    fn a_validation_rejects_what_the_model_rejects(rows in prop::collection::vec(row(), 0..40), dict: bool) {
        let outcome = run::<check>(&[], &table(&rows, dict)).map_err(TestCaseError::fail)?;
        let judge = |(at, row): (usize, &Owned)| match (first_null(row), row.small, row.real) {
            (Some(name), _, _) => Some(format!("row {at}: null-input ({name})")),
            (None, Some(small), _) if small < 0 => Some(format!("row {at}: too-small ({small})")),
            (None, _, Some(real)) if real > 0.5 => Some(format!("row {at}: odd (real={real}, big={:?})", row.big)),
            _ => None,
        };
        let expected: Vec<String> = rows.iter().enumerate().filter_map(judge).collect();
        let rejected: Vec<String> = outcome.rejected.iter().map(ToString::to_string).collect();
        prop_assert_eq!(rejected, expected);
    }

    #[test]
    fn an_enrichment_writes_what_the_model_writes(rows in prop::collection::vec(row(), 0..40), dict: bool) {
        let input = table(&rows, dict);
        let outcome = run::<add>(&[], &input).map_err(TestCaseError::fail)?;
        let before = input.to_json();
        for (at, after) in outcome.kept.iter().zip(outcome.json()) {
            let row = &rows[*at];
            let name = row.name.as_deref().unwrap_or("?");
            prop_assert_eq!(after["name"].as_str(), name.get(1..));
            prop_assert_eq!(after["nameLength"].as_i64(), Some(name.len() as i64));
            prop_assert_eq!(after["sign"].as_str(), row.small.map(sign));
            prop_assert_eq!(after["half"].as_str(), row.real.filter(|real| *real < 0.5).map(|_| "lower"));
            prop_assert_eq!(after["flag"].as_bool(), Some(row.single.is_some()));
            prop_assert_eq!(&after["at"], &before[*at]["at"]);
            prop_assert_eq!(&after["small"], &before[*at]["small"]);
            prop_assert!(after.get("big").is_none());
        }
        let rejected = rows.iter().filter(|row| first_null(row).is_some() || row.small == Some(i32::MIN)).count();
        prop_assert_eq!(outcome.rejected.len(), rejected);
        prop_assert_eq!(outcome.kept.len() + rejected, rows.len());
    }

    #[test]
    fn one_row_becomes_as_many_as_the_model_has(rows in prop::collection::vec(row(), 0..40), dict: bool) {
        let outcome = run::<words>(&[], &table(&rows, dict)).map_err(TestCaseError::fail)?;
        let mut expected = Vec::new();
        for (at, row) in rows.iter().enumerate().filter(|(_, row)| first_null(row).is_none()) {
            let name = row.name.as_deref().unwrap_or_default();
            expected.extend(name.split('a').skip(1).map(|word| (at, word.to_owned())));
        }
        let words = outcome.json().into_iter().map(|row| row["word"].as_str().unwrap_or("?").to_owned());
        let found: Vec<(usize, String)> = outcome.kept.iter().copied().zip(words).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn a_search_over_all_bytes_finds_what_a_search_per_row_finds(
        rows in prop::collection::vec(row(), 0..40),
        dict: bool,
        needle in "[ab\u{e9}]{0,3}",
    ) {
        let outcome = run::<ContainingTransform>(&[("needle", &needle)], &table(&rows, dict)).map_err(TestCaseError::fail)?;
        let holds = |row: &Owned| row.name.as_deref().is_some_and(|name| name.contains(&needle));
        let expected: Vec<usize> = (0..rows.len()).filter(|&at| holds(&rows[at])).collect();
        prop_assert_eq!(outcome.kept, expected);
    }

    #[test]
    fn whatever_is_done_obeys_the_contract(rows in prop::collection::vec(row(), 1..40), dict: bool) {
        // `run` checks it too; here on the raw output, with the declared nullability turned around.
        let input = table(&rows, dict);
        let mut descriptor = add::describe(&[], input.fields()).map_err(TestCaseError::fail)?;
        let position = |name: &String| input.fields().iter().position(|field| field.name == *name);
        let places: Vec<usize> = descriptor.reads.iter().filter_map(position).collect();
        let reads: Vec<Field> = places.iter().map(|&at| input.fields()[at].clone()).collect();
        let columns = places.iter().map(|&at| input.columns()[at].clone()).collect();
        let batch = wasmill_sdk::wit::Batch { rows: rows.len() as u32, columns };
        let mut instance = add::start(&[], &reads).map_err(TestCaseError::fail)?;
        let output = instance.process(&batch).map_err(TestCaseError::fail)?;
        prop_assert_eq!(check_output(&output, &descriptor, rows.len()), Ok(()));
        descriptor.reasons.clear();
        let rejects = output.rejects.rows.is_empty();
        prop_assert_eq!(check_output(&output, &descriptor, rows.len()).is_ok(), rejects);
    }
}
