//! Random answers of guests and random files, on the stable toolchain: whatever comes, nothing panics, and what is accepted
//! keeps the contract.
//!
//! The test command gives each a second or so; `make soak` a minute (`WASMILL_FUZZ_SECONDS`). Files that were found to do
//! harm are kept in `corpus/` and tried first.

use std::fs;
use std::path::Path;
use std::time::Instant;

use arrow::array::Array;
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use super::super::bindings::types::{self, ColumnResult, Rejects, Selection, VarBytesResult};
use super::super::check::{Outcome, Why, checked};
use super::super::columns::selection::Keep;
use super::super::columns::{tests::values, type_of};
use super::super::descriptor::{Plan, plan};
use super::super::frame::Frame;
use super::super::module::ModuleFile;
use super::guest::{Guest, typed};
use super::*;
use crate::error::ErrorKind;

/// Bytes that an answer may take.
const LIMIT: usize = 1 << 16;
/// A file of some kilobytes is parsed, checked and compiled in much less.
const MOST_TIME: Duration = Duration::from_secs(20);

/// How long to go on; nothing said: as long as one round takes.
fn budget() -> Duration {
    let seconds = std::env::var("WASMILL_FUZZ_SECONDS").ok().map_or(0, |text| text.parse().expect("whole seconds"));
    Duration::from_secs(seconds)
}

/// Tries `property` on random inputs, `cases` at a time, for as long as there is time: once when nothing is said.
fn fuzz<S: Strategy>(cases: u32, strategy: &S, property: impl Fn(S::Value) -> std::result::Result<(), TestCaseError>) {
    let started = Instant::now();
    let mut runs = 0;
    while runs == 0 || started.elapsed() < budget() {
        let config = Config { cases, failure_persistence: None, ..Config::default() };
        if let Err(error) = TestRunner::new(config).run(strategy, &property) {
            panic!("{error}");
        }
        runs += 1;
    }
    println!("{} cases", u64::from(cases) * runs);
}

/// What the guest of [`any_output`] described: six columns of all layouts, half of them never null, and two reasons.
fn described() -> Plan {
    let field = |(name, format, nullable): (&str, &str, bool)| types::FieldResult {
        name: name.to_owned(),
        format: format.to_owned(),
        nullable,
    };
    let fields = [
        ("s", "u", false),
        ("n", "i", true),
        ("b", "b", false),
        ("l", "+l<l>", true),
        ("d", "d:6,2", false),
        ("z", "z", true),
    ];
    let reason = |code: &str| types::Reason { code: code.to_owned(), message: "a message".to_owned() };
    let described = types::Descriptor {
        reads: vec!["n".to_owned()],
        writes: fields.map(field).to_vec(),
        drops: vec!["auth".to_owned()],
        reasons: vec![reason("one"), reason("two")],
    };
    plan(described, &events_schema()).unwrap()
}

/// A column that is right but for its values: lists of the right length, so that whole answers are accepted now and then.
fn right_column(format: &'static str, rows: usize) -> BoxedStrategy<ColumnResult> {
    use types::ValuesResult::{Bits, Bytes, Fixed, Int32, Ipc};
    let bitmap = move || {
        vec(any::<bool>(), rows).prop_map(|bits| {
            let byte = |bits: &[bool]| bits.iter().enumerate().fold(0, |byte, (at, bit)| byte | (u8::from(*bit) << at));
            bits.chunks(8).map(byte).collect::<Vec<u8>>()
        })
    };
    let values = match format {
        "i" => vec(any::<i32>(), rows).prop_map(Int32).boxed(),
        "b" => bitmap().prop_map(Bits).boxed(),
        "d:6,2" => vec(-999_999_i128..=999_999, rows)
            .prop_map(|values| Fixed((16, values.iter().flat_map(|value| value.to_le_bytes()).collect())))
            .boxed(),
        "+l<l>" => vec(of(vec(of(any::<i64>()), 0..3)), rows)
            .prop_map(|lists| {
                use arrow::array::ListArray;
                use arrow::datatypes::Int64Type;
                let array = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(lists));
                Ipc(super::super::columns::nested::to_ipc(&(array as _)).unwrap())
            })
            .boxed(),
        _ => vec("[a-zä]{0,4}", rows)
            .prop_map(|texts| {
                let mut offsets = vec![0];
                offsets.extend(texts.iter().scan(0, |end, text: &String| {
                    *end += text.len() as i32;
                    Some(*end)
                }));
                Bytes(VarBytesResult { offsets, bytes: texts.concat().into_bytes() })
            })
            .boxed(),
    };
    // Validity: mostly none, so that columns that are never null are accepted too.
    (values, of(prop_oneof![1 => bitmap().boxed(), 1 => vec(any::<u8>(), 0..3).boxed()]), 0..4_u8)
        .prop_map(|(values, validity, some)| ColumnResult { values, validity: validity.filter(|_| some == 0) })
        .boxed()
}

fn any_column(format: &'static str, rows: usize) -> BoxedStrategy<ColumnResult> {
    let wild = (values(), of(vec(any::<u8>(), 0..3))).prop_map(|(values, validity)| ColumnResult { values, validity });
    prop_oneof![30 => right_column(format, rows), 1 => wild].boxed()
}

/// An answer to `rows` rows: mostly of the right shape, and wrong in any way.
fn any_output(rows: usize) -> BoxedStrategy<types::Output> {
    let numbers = move || {
        let some = vec(0..rows as u32 + 1, 0..12);
        let sorted = some.clone().prop_map(|mut numbers| {
            numbers.sort_unstable();
            numbers
        });
        prop_oneof![1 => some, 4 => sorted]
    };
    let selection = prop_oneof![
        Just(Selection::All),
        Just(Selection::None),
        vec(any::<u8>(), 0..3).prop_map(Selection::Mask),
        numbers().prop_map(|mut numbers| {
            numbers.dedup();
            Selection::Rows(numbers)
        }),
        numbers().prop_map(Selection::Gather),
    ];
    let detail = of((vec(0..9_i32, 0..4), vec(any::<u8>(), 0..9)))
        .prop_map(|detail| detail.map(|(offsets, bytes)| VarBytesResult { offsets, bytes }));
    let rejects = prop_oneof![
        3 => Just(Rejects { rows: vec![], reason: vec![], detail: None }),
        3 => (numbers(), any::<u16>()).prop_map(|(mut rows, reason)| {
            rows.dedup();
            Rejects { reason: vec![reason % 3; rows.len()], rows, detail: None }
        }),
        1 => (numbers(), vec(0..3_u16, 0..4), detail)
            .prop_map(|(rows, reason, detail)| Rejects { rows, reason, detail }),
    ];
    selection
        .prop_flat_map(move |keep| {
            let height = match &keep {
                Selection::Gather(gather) => gather.len(),
                _ => rows,
            };
            let column = |format| any_column(format, height);
            let columns = ["u", "i", "b", "+l<l>", "d:6,2", "z"].map(column).to_vec();
            (Just(keep), columns, 0..40_u8)
        })
        .prop_flat_map(move |(keep, mut columns, cut)| {
            if cut == 0 {
                columns.pop();
            }
            rejects.clone().prop_map(move |rejects| types::Output {
                keep: keep.clone(),
                columns: columns.clone(),
                rejects,
            })
        })
        .boxed()
}

/// What the contract says of an accepted answer.
fn keeps_the_contract(plan: &Plan, outcome: &Outcome, rows: usize) {
    let increasing = |numbers: &[u32]| numbers.is_sorted_by(|a, b| a < b);
    let within = |numbers: &[u32]| numbers.iter().all(|row| (*row as usize) < rows);
    let height = match &outcome.keep {
        Keep::All => rows,
        Keep::Rows(kept) => {
            assert!(increasing(kept) && within(kept), "{kept:?}");
            rows
        }
        Keep::Gather(gather) => {
            assert!(gather.is_sorted() && within(gather), "{gather:?}");
            gather.len()
        }
    };
    let rejected: Vec<u32> = outcome.rejects.iter().map(|reject| reject.row).collect();
    assert!(increasing(&rejected) && within(&rejected), "{rejected:?}");
    for reject in &outcome.rejects {
        assert!(
            matches!(&reject.why, Why::Guest { reason, .. } if usize::from(*reason) < plan.descriptor.reasons.len())
        );
    }
    let stays = |at: usize| match &outcome.keep {
        Keep::All => !rejected.contains(&(at as u32)),
        Keep::Rows(kept) => kept.contains(&(at as u32)) && !rejected.contains(&(at as u32)),
        Keep::Gather(gather) => !rejected.contains(&gather[at]),
    };
    assert_eq!(outcome.columns.len(), plan.writes.len());
    for ((field, _), array) in plan.writes.iter().zip(&outcome.columns) {
        assert_eq!((array.len(), array.data_type()), (height, field.data_type()));
        assert!(array.to_data().validate_full().is_ok(), "{array:?}");
        assert!(field.is_nullable() || (0..height).all(|at| array.is_valid(at) || !stays(at)), "{field}: {array:?}");
    }
    assert!(outcome.bytes <= 3 * LIMIT, "{} bytes", outcome.bytes);
}

#[test]
fn any_answer_is_refused_or_keeps_the_contract() {
    let plan = described();
    let accepted = std::cell::Cell::new(0);
    let strategy = (1..12_usize).prop_flat_map(|rows| (Just(rows), any_output(rows)));
    fuzz(2000, &strategy, |(rows, output)| {
        // The rows lie in the middle of a batch, as when it is taken apart.
        let (decoded, _) = events(rows + 5);
        if let Ok(outcome) = checked(&plan, LIMIT, output, &mut Frame::new(&decoded.rows), 3..3 + rows) {
            keeps_the_contract(&plan, &outcome, rows);
            accepted.set(accepted.get() + 1);
        }
        Ok(())
    });
    assert!(accepted.get() > 50, "only {} answers were accepted: the others say little", accepted.get());
}

#[test]
fn formats_of_the_answers_exist() {
    assert!(["u", "i", "b", "+l<l>", "d:6,2", "z"].iter().all(|format| type_of(format).is_some()));
}

/// What is done to a file.
#[derive(Debug, Clone)]
enum Change {
    Byte(usize, u8),
    /// A number as large as its encoding allows.
    Large(usize),
    Cut(usize),
    Remove(usize, usize),
    Insert(usize, Vec<u8>),
    /// A part of it a second time.
    Repeat(usize, usize, usize),
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let at = any::<usize>;
    let change = prop_oneof![
        6 => (at(), any::<u8>()).prop_map(|(at, byte)| Change::Byte(at, byte)),
        2 => at().prop_map(Change::Large),
        1 => at().prop_map(Change::Cut),
        1 => (at(), 1..40_usize).prop_map(|(at, length)| Change::Remove(at, length)),
        2 => (at(), vec(any::<u8>(), 1..20)).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        2 => (at(), 1..200_usize, 1..20_usize).prop_map(|(at, length, times)| Change::Repeat(at, length, times)),
    ];
    vec(change, 1..6)
}

fn changed(mut file: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        if file.is_empty() {
            break;
        }
        let length = file.len();
        match change {
            Change::Byte(at, byte) => file[at % length] = *byte,
            Change::Large(at) => drop(file.splice(at % length..=at % length, [0xff, 0xff, 0xff, 0xff, 0x0f])),
            Change::Cut(at) => file.truncate(at % length),
            Change::Remove(at, count) => drop(file.drain(at % length..(at % length + count).min(length))),
            Change::Insert(at, bytes) => drop(file.splice(at % length..at % length, bytes.iter().copied())),
            Change::Repeat(at, count, times) => {
                let part = file[at % length..(at % length + count).min(length)].repeat(*times);
                file.splice(at % length..at % length, part);
            }
        }
    }
    file
}

/// Names that the tools behind us give a meaning to, and others.
fn names() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "memory",
        "cabi_realloc",
        "cabi_import_realloc",
        "canonical_abi_realloc",
        "cabi_post_wasmill:transform/transform@0.1.0#process",
        "wasmill:transform/transform@0.1.0#process",
        "wasmill:transform/transform@0.1.0#start",
        "wasmill:transform/lookup@0.1.0",
        "wasmill:transform/log@0.1.0",
        "wasmill:transform/log",
        "[export]wasmill:transform/transform@0.1.0",
        "[static]table.open",
        "[method]table.fields",
        "[resource-drop]table",
        "[resource-new]table",
        "[async-lower]write",
        "[async-lift]wasmill:transform/transform@0.1.0#process",
        "[task-return]process",
        "[thread-yield]",
        "[context-get-0]",
        "[stream-new-0]write",
        "cm32p2|wasmill:transform/log@0.1",
        "cm32p2_memory",
        "cm32p2_realloc",
        "cm32p2|wasmill:transform/transform@0.1|process",
        "$root",
        "[export]$root",
        "__main_module__",
        "__indirect_function_table",
        "_initialize",
        "_start",
        "enabled",
        "write",
        "env",
        "",
    ])
}

fn signatures() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["", "(param i32)", "(result i32)", "(param i32 i32 i32)", "(param i64) (result i64)"])
}

/// An honest module with imports and exports beside its own.
fn with_names() -> impl Strategy<Value = Vec<u8>> {
    let import = (names(), names(), signatures())
        .prop_map(|(module, name, types)| format!("(import \"{module}\" \"{name}\" (func {types}))"));
    let export = (names(), signatures(), 0..4_u8).prop_map(|(name, types, kind)| match kind {
        0 => format!("(global (export \"{name}\") i32 (i32.const 7))"),
        1 => format!("(table (export \"{name}\") 1 funcref)"),
        _ => format!("(func (export \"{name}\") {types} unreachable)"),
    });
    (vec(import, 0..3), vec(export, 0..3)).prop_filter_map("names differ", |(imports, exports)| {
        let guest = Guest { imports: imports.concat(), fields: exports.concat(), ..Guest::new() };
        wat::parse_str(guest.text()).is_ok().then(|| typed(&guest.text()))
    })
}

/// Files to change: core modules and components.
fn files() -> impl Strategy<Value = Vec<u8>> {
    let mut logging = Guest::describing(&["n"], &[("s", "u", true), ("l", "+l<l>", true)], &[], &["why"]);
    logging.imports = r#"(import "wasmill:transform/log@0.1.0" "write" (func $log (param i32 i32 i32)))"#.to_owned();
    logging.fields = "(table 3 funcref) (elem (i32.const 1) $log)".to_owned();
    let cores = [Guest::new().build(), logging.build()];
    let components = cores.clone().map(|core| ModuleFile::parse(&core).unwrap().component);
    let files = prop::sample::select([cores, components].concat());
    prop_oneof![4 => files, 1 => with_names()]
}

/// Loads a file, and runs it when it can be; says what went wrong that must not.
fn try_file(engine: &TransformEngine, file: Vec<u8>) -> std::result::Result<(), String> {
    let started = Instant::now();
    match link_on(engine, &[(config("changed"), file)], events_schema()) {
        Ok(chain) => {
            if let Ok(mut instance) = chain.instantiate() {
                // Its own failures are its own affair; `run` sees that no row is lost.
                let _ = run(&mut instance, 3);
            }
        }
        Err(error) if error.kind() != ErrorKind::Config => return Err(format!("{:?}: {error}", error.kind())),
        // A library's panic is caught and harms nobody; but who has a minute wants to know of it.
        Err(error) if error.to_string().contains("made the compiler fail") && budget() > Duration::ZERO => {
            return Err(error.to_string());
        }
        Err(_) => {}
    }
    if started.elapsed() < MOST_TIME { Ok(()) } else { Err(format!("it took {:?}", started.elapsed())) }
}

#[test]
fn any_file_is_refused_or_runs() {
    let engine = TransformEngine::new(None).unwrap();
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/transform/tests/corpus");
    let mut kept = 0;
    for entry in fs::read_dir(&corpus).unwrap() {
        let path = entry.unwrap().path();
        try_file(&engine, fs::read(&path).unwrap()).unwrap_or_else(|what| panic!("{}: {what}", path.display()));
        kept += 1;
    }
    assert!(kept > 0, "the corpus is missing");
    let strategy = (files(), prop_oneof![1 => Just(Vec::new()), 9 => changes()]);
    fuzz(150, &strategy, |(file, changes)| {
        let file = changed(file, &changes);
        try_file(&engine, file.clone()).map_err(|what| {
            // To be looked at, and moved into the corpus.
            let path = std::env::temp_dir().join(format!("wasmill-found-{}.wasm", std::process::id()));
            fs::write(&path, &file).unwrap();
            TestCaseError::fail(format!("{what}: see {}", path.display()))
        })
    });
}
