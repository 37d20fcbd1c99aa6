// What two texts have in common, line by line. Pure.

export interface Line {
  /** In which of the texts it stands. */
  kind: "both" | "first" | "second";
  text: string;
}

/** Beyond so many pairs of lines, what differs is told as a whole. */
const PAIRS = 4_000_000;

/** The lines of both texts in order: the fewest that are in one of them only. */
export function difference(first: string, second: string): Line[] {
  const a = first.split("\n");
  const b = second.split("\n");
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start += 1;
  let end = 0;
  while (end < a.length - start && end < b.length - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end += 1;
  const line = (kind: Line["kind"]) => (text: string): Line => ({ kind, text });
  const [old, fresh] = [a.slice(start, a.length - end), b.slice(start, b.length - end)];
  return [
    ...a.slice(0, start).map(line("both")),
    ...(old.length * fresh.length > PAIRS ? [...old.map(line("first")), ...fresh.map(line("second"))] : between(old, fresh)),
    ...a.slice(a.length - end).map(line("both")),
  ];
}

function between(a: string[], b: string[]): Line[] {
  // common[i][j]: how many lines the rests from i and j have in common.
  const common = Array.from({ length: a.length + 1 }, () => new Uint32Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      common[i]![j] = a[i] === b[j] ? common[i + 1]![j + 1]! + 1 : Math.max(common[i + 1]![j]!, common[i]![j + 1]!);
    }
  }
  const lines: Line[] = [];
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      lines.push({ kind: "both", text: a[i]! });
      i += 1;
      j += 1;
    } else if (j >= b.length || (i < a.length && common[i + 1]![j]! >= common[i]![j + 1]!)) {
      lines.push({ kind: "first", text: a[i]! });
      i += 1;
    } else {
      lines.push({ kind: "second", text: b[j]! });
      j += 1;
    }
  }
  return lines;
}
