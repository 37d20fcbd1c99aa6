// What the admin API tells of transforms and deployments, and what it does to them.
import { ask } from "./api";

export interface TransformCounts {
  name: string;
  version: string;
  events: number;
  kept: number;
  rejected: number;
  failed: number;
  failed_calls: number;
  busy_us: number;
  p50_us: number;
  p99_us: number;
  used?: {
    memory_bytes: number;
    memory_limit_bytes: number;
    instances: number;
    slowest_us: number;
    deadline_us: number;
  };
}

export interface Release {
  name: string;
  version: string;
  sha256: string;
  size: number;
  interface: string;
  pushed_at_ms: number;
  pushed_by: string;
  signature?: unknown;
}

export interface Listed extends Release {
  withdrawn: { at_ms: number; by: string; note: string } | null;
}

/** A module that was looked at, and not stored. */
export interface Looked {
  module: { kind: string; size: number; sha256: string; wit_version: string; imports: string[]; exports: string[] };
  remark: string | null;
  name: string | null;
  version: string | null;
  is_there: boolean;
  would_be_refused: { error: string; hint?: string } | null;
}

export interface Named {
  name: string;
  version: string;
  /** What stands in FILE.sig; empty: nobody vouches for it. */
  signature: string;
}

export type Setting = string | { env: string } | { file: string };

export type Policy = "dead-letter" | "stop" | "skip";

export interface Deployed {
  name: string;
  transform: string;
  version: string;
  sha256: string;
  settings: Record<string, Setting>;
  limits: Record<string, number>;
  on_failure: Policy;
}

export interface Column {
  name: string;
  type: string;
  nullable: boolean;
}

export interface Deployment {
  number: number;
  transforms: Deployed[];
  columns: Column[];
}

export interface Entry {
  number: number;
  action: string | { rollback: { to: number } } | { "fall-back": { to: number } };
  deployment: Deployment;
  canary?: { deployment: Deployment; topic_partitions: string[]; bounds: Record<string, number> };
  paused: boolean;
  at_ms: number;
  by: string;
  note: string;
}

type TransformChange =
  | { change: "added"; name: string; reference: string }
  | { change: "removed"; name: string; reference: string }
  | { change: "changed"; name: string; what: string; from: string | null; to: string | null };

type ColumnChange = ({ change: "added" | "removed" } & Column) | { change: "retyped"; from: Column; to: Column };

export interface Difference {
  transforms: TransformChange[];
  columns: ColumnChange[];
}

export type Row = Record<string, unknown>;

export type Fate =
  | { fate: "kept"; rows: Row[] }
  | { fate: "filtered" }
  | { fate: "dead-letter"; transform: string; reason: string; detail: string };

export interface Sampled {
  message: string;
  event: Row;
  new: Fate;
  present: Fate | null;
  differs: boolean;
}

/** What became of the same events in one deployment. */
export interface Side {
  kept: number;
  filtered: number;
  dead_lettered: Record<string, number>;
  failed_calls: number;
  us_per_event: number;
  memory_bytes: number;
  transforms: TransformCounts[];
}

interface Examples {
  count: number;
  first: string[];
}

export interface Rehearsal {
  events: number;
  undecodable: number;
  new: Side;
  present: Side | null;
  changed: { kept_now: Examples; kept_before: Examples; other_values: Examples } | null;
  sampled: Sampled[];
}

export interface Ordered {
  proposal: { deployment: Deployment; difference: Difference; rehearsal: Rehearsal | null } | null;
  accepted: Entry | null;
  would_be_refused?: string;
}

/** The whole chain that is to run, and when it is accepted. */
export interface Order {
  transforms: string[];
  set: string[];
  unset: string[];
  limits: string[];
  on_failure: string[];
  canary: number | null;
  bounds: string | null;
  sample: number;
  allow_schema_change: boolean;
  dry_run: boolean;
  note: string;
}

const naming = (named: Partial<Named>) => {
  const query = new URLSearchParams(Object.entries(named).filter(([, value]) => value));
  return query.size > 0 ? `?${query}` : "";
};

export const versions = () => ask<Listed[]>("GET", "/v1/transforms");

/** Whether a module may be uploaded; nothing is stored. */
export const vet = (module: Blob, named: Partial<Named>) => ask<Looked>("POST", `/v1/vet${naming(named)}`, module);

export const upload = (module: Blob, named: Named) =>
  ask<{ new: boolean; release: Release; remark: string | null }>("POST", `/v1/transforms${naming(named)}`, module);

export const withdraw = ({ name, version }: Release, note: string) =>
  ask<Release>("POST", `/v1/transforms/${name}@${version}/withdraw`, { note });

export const moduleOf = ({ name, version }: Release) => `/v1/transforms/${name}@${version}/module`;

/** The log, oldest first. */
export const entries = () => ask<Entry[]>("GET", "/v1/deployments");

export const difference = (from: number, to: number) =>
  ask<Difference>("GET", `/v1/deployments/${to}/difference?from=${from}`);

export const deploy = (order: Order) => ask<Ordered>("POST", "/v1/deployments", order);

/** `to`: `null` ends a trial. */
export const rollback = (to: number | null, note: string, allow_schema_change = false) =>
  ask<Ordered>("POST", "/v1/rollback", { to, note, allow_schema_change });

export const promote = (note: string) => ask<Entry>("POST", "/v1/promote", { note });

export interface Line {
  at_ms: number;
  host: string;
  machine: string;
  number: number;
  deployment: number;
  transform: string;
  version: string;
  topic_partition?: string;
  level: "trace" | "debug" | "info" | "warn" | "error";
  text: string;
}

export interface Following {
  transform: string;
  level: string;
  sinceMs: number;
  onLine: (line: Line) => void;
  /** Why no lines come; `null`: they do. */
  onTrouble: (words: string | null) => void;
}

/** Tells guests' lines as they come; the same ones once more when the connection was lost. */
export function follow({ transform, level, sinceMs, onLine, onTrouble }: Following): () => void {
  const query = new URLSearchParams({ level, since_ms: String(sinceMs), ...(transform && { transform }) });
  const events = new EventSource(`/v1/logs/events?${query}`);
  events.addEventListener("open", () => onTrouble(null));
  events.addEventListener("line", (event) => onLine(JSON.parse(event.data)));
  // Both the host's own words and a lost connection are called so.
  events.addEventListener("error", (event) =>
    onTrouble(event instanceof MessageEvent ? event.data : "The host does not answer, or it has too many who listen."),
  );
  return () => events.close();
}
