// Keeps the rows with auth == "Logged In" and duration >= min_seconds (30 unless set). A row without `auth` fails.
//
// QuickJS has no TextDecoder, and needs none here: text is compared by its bytes. WIT's `list<f64>` is a Float64Array,
// `list<u8>` a Uint8Array, a variant `{ tag, val }`, an absent option null; a thrown value is the `err` of a `result`.

const LOGGED_IN = Uint8Array.from("Logged In", (letter) => letter.charCodeAt(0));
const READS = [
  { name: "auth", format: "u", kind: "string" },
  { name: "duration", format: "g", kind: "double" },
];

let minSeconds = 30;

function read(settings) {
  let seconds = 30;
  for (const [name, value] of settings) {
    if (name !== "min_seconds") {
      throw `unknown setting \`${name}\`; known: \`min_seconds\` (a number, default 30)`;
    }
    // Number("") is 0.
    seconds = value.trim() === "" ? NaN : Number(value);
    if (!Number.isFinite(seconds)) {
      throw `setting \`min_seconds\`: wanted a number, found \`${value}\``;
    }
  }
  return seconds;
}

const isSet = (bits, row) => ((bits[row >> 3] >> (row & 7)) & 1) === 1;
const isNull = (column, row) => column.validity != null && !isSet(column.validity, row);

function isLoggedIn({ offsets, bytes }, row) {
  const start = offsets[row];
  if (offsets[row + 1] - start !== LOGGED_IN.length) {
    return false;
  }
  return LOGGED_IN.every((letter, index) => bytes[start + index] === letter);
}

export const transform = {
  describe(settings, input) {
    read(settings);
    for (const { name, format, kind } of READS) {
      const field = input.find((field) => field.name === name);
      if (field === undefined) {
        throw `column \`${name}\` is missing: wanted ${kind}`;
      }
      if (field.format !== format) {
        throw `column \`${name}\`: wanted ${kind} (format ${format}), found format ${field.format}`;
      }
    }
    return { reads: READS.map(({ name }) => name), writes: [], drops: [], reasons: [] };
  },

  start(settings, _reads) {
    minSeconds = read(settings);
  },

  process({ rows, columns: [auth, duration] }) {
    const mask = new Uint8Array(Math.ceil(rows / 8));
    for (let row = 0; row < rows; row += 1) {
      if (isNull(auth, row)) {
        throw `row ${row} has no \`auth\``;
      }
      if (!isNull(duration, row) && duration.values.val[row] >= minSeconds && isLoggedIn(auth.values.val, row)) {
        mask[row >> 3] |= 1 << (row & 7);
      }
    }
    return {
      keep: { tag: "mask", val: mask },
      columns: [],
      rejects: { rows: new Uint32Array(), reason: new Uint16Array(), detail: null },
    };
  },
};
