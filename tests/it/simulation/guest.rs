//! Small real guests. One for one world in a hundred: it drops the rows whose number leaves 1 when divided by 4, rejects
//! those that leave 2, and keeps the rest. And one that fails on every row.

use std::path::Path;

use wit_component::{StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// Where the guest's constants begin.
const CONSTANTS: usize = 1 << 16;
/// Where it puts the numbers of the rows that it keeps, and of those that it rejects; the reasons of the latter are all 0.
const KEPT: usize = 1 << 18;
const REJECTED: usize = KEPT + (1 << 16);
const REASONS: usize = REJECTED + (1 << 16);
/// Where the host may put its arguments.
const FREE: usize = 1 << 19;

/// Constants in the layout of the canonical ABI.
#[derive(Default)]
struct Constants(Vec<u8>);

impl Constants {
    fn put(&mut self, bytes: &[u8]) -> u32 {
        self.0.resize(self.0.len().next_multiple_of(8), 0);
        let address = CONSTANTS + self.0.len();
        self.0.extend_from_slice(bytes);
        address as u32
    }

    fn words(&mut self, words: &[u32]) -> u32 {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.put(&bytes)
    }

    fn text(&mut self, text: &str) -> [u32; 2] {
        [self.put(text.as_bytes()), text.len() as u32]
    }
}

/// The guest that sorts rows, as a core module with its component type.
pub(super) fn build() -> Vec<u8> {
    let mut constants = Constants::default();
    let column = constants.text("id");
    let reads = constants.words(&column);
    let reason = [constants.text("even"), constants.text("the number is even")].concat();
    let reasons = constants.words(&reason);
    let describe = constants.words(&[0, reads, 1, 0, 0, 0, 0, reasons, 1]);
    let start = constants.words(&[0; 4]);
    // ok, keep: rows (address, count), columns, rejects: rows and reasons, no detail.
    let answer = constants.words(&[0, 3, KEPT as u32, 0, 0, 0, REJECTED as u32, 0, REASONS as u32, 0, 0, 0, 0, 0, 0]);
    module(&constants, describe, start, &sorting(answer))
}

/// A guest that reads nothing and traps as soon as it is given a row, as a core module with its component type.
pub(crate) fn trapping() -> Vec<u8> {
    let mut constants = Constants::default();
    let (describe, start) = (constants.words(&[0; 9]), constants.words(&[0; 4]));
    module(&constants, describe, start, "unreachable")
}

fn module(constants: &Constants, describe: u32, start: u32, process: &str) -> Vec<u8> {
    let data: String = constants.0.iter().map(|byte| format!("\\{byte:02x}")).collect();
    let mut module = wat::parse_str(text(&data, describe, start, process)).unwrap();
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit");
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(wit).unwrap();
    let world = resolve.select_world(&[package], Some("transformer")).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    module
}

fn text(data: &str, describe: u32, start: u32, process: &str) -> String {
    format!(
        r#"(module
          (memory (export "memory") 16)
          (global $free (mut i32) (i32.const {FREE}))
          (data (i32.const {CONSTANTS}) "{data}")
          (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
            (local $at i32)
            (local.set $at (i32.and (i32.add (global.get $free) (i32.const 15)) (i32.const -16)))
            (global.set $free (i32.add (local.get $at) (local.get 3)))
            (local.get $at))
          (func (export "wasmill:transform/transform@0.1.0#describe") (param i32 i32 i32 i32) (result i32)
            (i32.const {describe}))
          (func (export "wasmill:transform/transform@0.1.0#start") (param i32 i32 i32 i32) (result i32)
            (i32.const {start}))
          (func (export "wasmill:transform/transform@0.1.0#process")
            (param $rows i32) (param $columns i32) (param $count i32) (result i32)
            (local $row i32) (local $data i32) (local $rest i64) (local $kept i32) (local $rejected i32)
            {process}))"#
    )
}

fn sorting(answer: u32) -> String {
    let append = |list: usize, count: &str| {
        format!(
            "(i32.store (i32.add (i32.const {list}) (i32.shl (local.get ${count}) (i32.const 2))) (local.get $row))
             (local.set ${count} (i32.add (local.get ${count}) (i32.const 1)))"
        )
    };
    let (keep, reject) = (append(KEPT, "kept"), append(REJECTED, "rejected"));
    format!(
        r#"(local.set $data (i32.load offset=4 (local.get $columns)))
           (loop $next
             (if (i32.lt_u (local.get $row) (local.get $rows))
               (then
                 (local.set $rest
                   (i64.rem_u
                     (i64.load (i32.add (local.get $data) (i32.shl (local.get $row) (i32.const 3))))
                     (i64.const 4)))
                 (if (i64.ne (local.get $rest) (i64.const 1)) (then {keep}))
                 (if (i64.eq (local.get $rest) (i64.const 2)) (then {reject}))
                 (local.set $row (i32.add (local.get $row) (i32.const 1)))
                 (br $next))))
           (i32.store offset=12 (i32.const {answer}) (local.get $kept))
           (i32.store offset=28 (i32.const {answer}) (local.get $rejected))
           (i32.store offset=36 (i32.const {answer}) (local.get $rejected))
           (global.set $free (i32.const {FREE}))
           (i32.const {answer})"#
    )
}
