//! Guests in the text format: core modules whose memory holds what they will hand back, laid out by the canonical ABI.

use std::path::Path;

use wit_component::{StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// Where the guest's prepared answers begin in its memory.
const BASE: u32 = 1 << 16;

/// The memory of a guest under construction.
#[derive(Default)]
pub(super) struct Memory(Vec<u8>);

impl Memory {
    /// Puts bytes at an address divisible by 8; gives the address.
    pub(super) fn put(&mut self, bytes: &[u8]) -> u32 {
        self.0.resize(self.0.len().next_multiple_of(8), 0);
        let address = BASE + self.0.len() as u32;
        self.0.extend_from_slice(bytes);
        address
    }

    /// A list as a record holds it: address and count.
    pub(super) fn list(&mut self, bytes: &[u8], count: usize) -> [u32; 2] {
        [self.put(bytes), count as u32]
    }

    /// A list of 32-bit numbers.
    pub(super) fn words(&mut self, words: &[u32]) -> [u32; 2] {
        self.list(&bytes(words), words.len())
    }

    /// A string or a list of bytes.
    pub(super) fn text(&mut self, text: impl AsRef<[u8]>) -> [u32; 2] {
        let text = text.as_ref();
        self.list(text, text.len())
    }

    /// `ok` of `record`, given as the record's words.
    pub(super) fn ok(&mut self, record: &[u32]) -> u32 {
        self.put(&bytes(&[&[0], record].concat()))
    }

    /// A descriptor: names read, (name, format, nullable) written, names dropped, codes of the reasons.
    pub(super) fn descriptor(
        &mut self,
        reads: &[&str],
        writes: &[(&str, &str, bool)],
        drops: &[&str],
        reasons: &[&str],
    ) -> u32 {
        let names = |memory: &mut Self, names: &[&str]| {
            let names: Vec<u32> = names.iter().flat_map(|name| memory.text(name)).collect();
            memory.list(&bytes(&names), names.len() / 2)
        };
        let reads = names(self, reads);
        let mut fields = Vec::new();
        for (name, format, nullable) in writes {
            fields.extend(self.text(name));
            fields.extend(self.text(format));
            fields.push(u32::from(*nullable));
        }
        let writes = self.list(&bytes(&fields), writes.len());
        let drops = names(self, drops);
        let mut codes = Vec::new();
        for code in reasons {
            codes.extend(self.text(code));
            codes.extend(self.text("a message"));
        }
        let reasons = self.list(&bytes(&codes), reasons.len());
        self.ok(&[reads, writes, drops, reasons].concat())
    }

    /// An output: the selection's case and list, columns of ten words each (see [`column`]), rejected rows, reasons,
    /// and the offsets and bytes of their texts.
    pub(super) fn output(
        &mut self,
        keep: (u32, [u32; 2]),
        columns: &[[u32; 10]],
        rejects: (&[u32], &[u16]),
        detail: Option<([u32; 2], [u32; 2])>,
    ) -> u32 {
        let columns = self.list(&bytes(&columns.concat()), columns.len());
        let rows = self.words(rejects.0);
        let reasons: Vec<u8> = rejects.1.iter().flat_map(|reason| reason.to_le_bytes()).collect();
        let reasons = self.list(&reasons, rejects.1.len());
        let detail = match detail {
            Some((offsets, bytes)) => [1, offsets[0], offsets[1], bytes[0], bytes[1]],
            None => [0; 5],
        };
        self.ok(&[&[keep.0], keep.1.as_slice(), &columns, &rows, &reasons, &detail].concat())
    }
}

/// A column: the case of its values, up to six words of them, and its validity.
pub(super) fn column(case: u32, values: &[u32], validity: Option<[u32; 2]>) -> [u32; 10] {
    let mut column = [0; 10];
    column[0] = case;
    column[1..=values.len()].copy_from_slice(values);
    if let Some([address, count]) = validity {
        column[7..].copy_from_slice(&[1, address, count]);
    }
    column
}

fn bytes(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// A guest: the bodies of its functions in the text format, each leaving an address, over `memory`.
pub(super) struct Guest {
    pub(super) memory: Memory,
    pub(super) describe: String,
    pub(super) start: String,
    /// May use the parameters `$rows`, `$columns`, `$count`, and the locals `$i` and `$data`.
    pub(super) process: String,
    pub(super) imports: String,
    /// Further fields of the module.
    pub(super) fields: String,
    /// What `cabi_realloc` does; may use `$old`, `$old_size`, `$align`, `$size` and the local `$at`.
    pub(super) realloc: String,
    /// Pages of memory at the start.
    pub(super) pages: u32,
}

impl Guest {
    /// A guest that describes nothing and keeps everything.
    pub(super) fn new() -> Self {
        let mut memory = Memory::default();
        let describe = memory.descriptor(&[], &[], &[], &[]);
        let start = memory.put(&[0; 16]);
        let process = memory.output((0, [0, 0]), &[], (&[], &[]), None);
        Self {
            memory,
            describe: constant(describe),
            start: constant(start),
            process: constant(process),
            fields: String::new(),
            realloc: REALLOC.to_owned(),
            imports: String::new(),
            pages: 16,
        }
    }

    /// A guest that reads and writes as given and keeps everything.
    pub(super) fn describing(reads: &[&str], writes: &[(&str, &str, bool)], drops: &[&str], reasons: &[&str]) -> Self {
        let mut guest = Self::new();
        guest.describe = constant(guest.memory.descriptor(reads, writes, drops, reasons));
        guest
    }

    /// Answers each batch with what lies at `address`.
    pub(super) fn answering(mut self, address: u32) -> Self {
        self.process = constant(address);
        self
    }

    /// A guest that hands the columns it reads back as those it writes.
    pub(super) fn echoing(reads: &[&str], writes: &[(&str, &str, bool)]) -> Self {
        let mut guest = Self::describing(reads, writes, &[], &[]);
        let answer = guest.memory.output((0, [0, 0]), &[], (&[], &[]), None);
        // The list of columns stands behind the result's and the selection's words, and columns look the same both ways.
        guest.process = format!(
            "(i32.store offset=16 (i32.const {answer}) (local.get $columns))
             (i32.store offset=20 (i32.const {answer}) (local.get $count))
             (i32.const {answer})"
        );
        guest
    }

    /// The core module with its component type, as the SDK's builds have it.
    pub(super) fn build(&self) -> Vec<u8> {
        typed(&self.text())
    }

    /// The core module as text.
    pub(super) fn text(&self) -> String {
        let data: String = self.memory.0.iter().map(|byte| format!("\\{byte:02x}")).collect();
        let Self { describe, start, process, fields, realloc, imports, pages, .. } = self;
        format!(
            r#"(module
              {imports}
              (memory (export "memory") {pages})
              (global $free (mut i32) (i32.const 524288))
              (data (i32.const {BASE}) "{data}")
              {fields}
              (func (export "cabi_realloc")
                (param $old i32) (param $old_size i32) (param $align i32) (param $size i32) (result i32)
                (local $at i32)
                {realloc})
              (func (export "wasmill:transform/transform@0.1.0#describe") (param i32 i32 i32 i32) (result i32)
                {describe})
              (func (export "wasmill:transform/transform@0.1.0#start") (param i32 i32 i32 i32) (result i32)
                {start})
              (func $process (export "wasmill:transform/transform@0.1.0#process")
                (param $rows i32) (param $columns i32) (param $count i32) (result i32)
                (local $i i32) (local $data i32)
                (global.set $free (i32.const 524288))
                {process}))"#
        )
    }
}

/// A module in the text format with the component type of our world.
pub(super) fn typed(text: &str) -> Vec<u8> {
    let mut module = wat::parse_str(text).unwrap();
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit");
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(wit).unwrap();
    let world = resolve.select_world(&[package], Some("transformer")).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    module
}

/// An allocator that never frees; `process` starts it anew.
const REALLOC: &str = "(local.set $at (i32.and (i32.add (global.get $free) (i32.const 15)) (i32.const -16)))
                (global.set $free (i32.add (local.get $at) (local.get $size)))
                (local.get $at)";

/// Text that does `then` when the first column (of 32-bit numbers) holds `number`.
pub(super) fn if_any_is(number: i32, then: &str) -> String {
    format!(
        "(local.set $data (i32.load offset=4 (local.get $columns)))
         (loop $next
           (if (i32.lt_u (local.get $i) (local.get $rows))
             (then
               (if (i32.eq (i32.const {number})
                           (i32.load (i32.add (local.get $data) (i32.shl (local.get $i) (i32.const 2)))))
                 (then {then}))
               (local.set $i (i32.add (local.get $i) (i32.const 1)))
               (br $next))))"
    )
}

/// Text that goes on for ever.
pub(super) const FOREVER: &str = "(loop $forever (br $forever))";

/// The body of a function that answers with what lies at `address`.
pub(super) fn constant(address: u32) -> String {
    format!("(i32.const {address})")
}
