// The admin API as the page asks it. Its exact description is /openapi.json.
import type { TransformCounts } from "./transforms-api";

export type Role = "viewer" | "payloads" | "deployer" | "admin";

export interface Session {
  pipeline: string;
  version: string;
  name: string;
  roles: Role[];
  csrf: string | null;
}

export interface TopicPartition {
  topic_partition: string;
  state: "starting" | "running" | "ending" | "retrying" | "done" | "stopped" | "paused";
  committed: number | null;
  lag: number | null;
  deployment: number | null;
  committed_at_ms?: number;
  error?: string;
}

export interface Health {
  answered_at_ms?: number;
  failed_at_ms?: number;
  error?: string;
}

export interface Totals {
  read: number;
  written: number;
  filtered: number;
  dead_lettered: number;
  committed: number;
}

export interface Host {
  host: string;
  machine: string;
  version: string;
  started_at_ms: number;
  at_ms: number;
  deployment: number;
  canary?: number;
  paused: boolean;
  problems?: string[];
  topic_partitions: TopicPartition[];
  /** By deployment. */
  transforms: Record<string, TransformCounts[]>;
  totals: Totals;
  memory_bytes: number;
  kafka?: Health & { brokers: number; unreachable: number };
  storage?: Record<string, Health>;
}

/** What the API refused, and what to do about it. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly hint?: string,
  ) {
    super(message);
  }
}

let csrf: string | null = null;

/** A body is sent as JSON, a file as it is. */
export async function ask<T>(method: string, path: string, body?: unknown): Promise<T> {
  const headers: Record<string, string> = {};
  const isFile = body instanceof Blob;
  if (body !== undefined) headers["Content-Type"] = isFile ? "application/octet-stream" : "application/json";
  if (csrf !== null && method !== "GET") headers["X-CSRF-Token"] = csrf;
  let answer: Response;
  try {
    answer = await fetch(path, { method, headers, body: body === undefined ? null : isFile ? body : JSON.stringify(body) });
  } catch {
    throw new Refused(0, "The host does not answer", "Is it running? The page goes on by itself when it is back.");
  }
  if (answer.status === 204) return undefined as T;
  const told = await answer.json().catch(() => ({ error: `the host answered ${answer.status}` }));
  if (!answer.ok) throw new Refused(answer.status, told.error, told.hint);
  return told as T;
}

/** Who is signed in; `null`: nobody. */
export async function session(): Promise<Session | null> {
  try {
    return remember(await ask<Session>("GET", "/console/session"));
  } catch (error) {
    if (error instanceof Refused && error.status === 401) return null;
    throw error;
  }
}

export const signIn = async (token: string) => remember(await ask<Session>("POST", "/console/session", { token }));

export const signOut = () => ask<void>("DELETE", "/console/session");

export const pause = (note: string) => ask<unknown>("POST", "/v1/pause", { note });

export const resume = (note: string) => ask<unknown>("POST", "/v1/resume", { note });

function remember(session: Session): Session {
  csrf = session.csrf;
  return session;
}

/** Tells the statuses of all hosts every time that they come; `onLost` when the host does not answer. */
export function watchHosts(onHosts: (hosts: Host[]) => void, onLost: () => void): () => void {
  const events = new EventSource("/v1/hosts/events");
  events.addEventListener("hosts", (event) => onHosts(JSON.parse(event.data)));
  events.addEventListener("error", onLost);
  return () => events.close();
}

export interface DeadLetter {
  topic: string;
  topic_partition: number;
  offset: number;
  recorded_at: string;
  stage: string;
  transform: string | null;
  version: string | null;
  reason: string;
  message: string;
  replayed: boolean;
}

export interface DeadLetters {
  count: number;
  replayed: number;
  by_reason: { reason: string; stage: string; transform: string | null; count: number }[];
  over_time: { from_ms: number; to_ms: number; reason: string; count: number }[];
  latest: DeadLetter[];
  problems: { path: string; problem: string }[];
}

type Content = { text: string } | { base64: string };

export interface WholeLetter extends Omit<DeadLetter, "topic" | "topic_partition" | "offset"> {
  deployment: number | null;
  timestamp: string | null;
  key: Content | null;
  headers: [string, Content | null][];
  payload: Content | null;
}

export interface Replayed {
  done: boolean;
  deployment: number;
  topic_partitions: { topic: string; topic_partition: number; problem: string | null }[];
  total: {
    replayed: number;
    written: number;
    filtered: number;
    dead_lettered: number;
    left_alone: { no_payload: number; several_rows: number; file_gone: number };
  };
}

export interface LetterFilter {
  reason: string;
  sinceMs: number | null;
  replayed: boolean;
}

export function deadLetters({ reason, sinceMs, replayed }: LetterFilter): Promise<DeadLetters> {
  const query = new URLSearchParams({ limit: "50", replayed: String(replayed) });
  if (reason) query.set("reason", reason);
  if (sinceMs !== null) query.set("since_ms", String(sinceMs));
  return ask("GET", `/v1/dead-letters?${query}`);
}

export async function deadLettersOf({ topic, topic_partition, offset }: DeadLetter): Promise<WholeLetter[]> {
  const message = { topic, topic_partition: String(topic_partition), offset: String(offset) };
  const found = await ask<{ letters: WholeLetter[] }>("GET", `/v1/dead-letters/message?${new URLSearchParams(message)}`);
  return found.letters;
}

/** Without `why` nothing is done, and the answer says what would be. */
export const replay = (reason: string, why?: string) =>
  ask<Replayed>("POST", "/v1/replays", { filter: reason ? { reason } : {}, ...(why && { why }) });

/** An error and what to do about it, in words. */
export const said = (error: unknown) => {
  const { message, hint } = error as Refused;
  return `${message}${hint ? `: ${hint}` : ""}`;
};

export interface Directory {
  path: string;
  depth: number;
  hive_partitions: number;
  files: number;
  bytes: number;
}

export interface Usage {
  location: string;
  directories: Directory[];
  total: { hive_partitions: number; files: number; bytes: number };
}

export interface FileSummary {
  path: string;
  rows: number | null;
  bytes: number;
  modified: string;
}

export interface Columns {
  files_read: number;
  files: number;
  columns: { name: string; type: string; nullable: boolean; hive_partition: boolean; parquet: string }[];
  differences: { what: string; files: number }[];
}

export interface Rows {
  columns: string[];
  rows: unknown[][];
}

interface RowCounts {
  messages: number;
  written: number;
  filtered: number;
  dead_lettered: number;
}

export interface Report {
  clean: boolean;
  topic_partitions: {
    topic: string;
    topic_partition: number;
    covered: { start: number; next: number }[];
    records: number;
    files: number;
    written_at: string | null;
  }[];
  deployments: { deployment: number; transforms: { name: string; version: string }[]; rows: RowCounts }[];
  total: { rows: RowCounts; records: number; files: number };
  findings: { code: string; topic_partition: string; path: string; message: string }[];
}

const part = (below: string, limit: number) => new URLSearchParams({ limit: String(limit), ...(below && { below }) });

/** Directories of the table down to a depth, 1 for its own. */
export const directories = (below: string, depth = 1) => ask<Usage>("GET", `/v1/table/usage?${part(below, depth)}`);

/** The files of one hive partition. */
export async function files(below: string): Promise<FileSummary[]> {
  const query = part(below, 1);
  query.set("files", "true");
  const found = await ask<{ hive_partitions: { files?: FileSummary[] }[] }>("GET", `/v1/table/hive-partitions?${query}`);
  return found.hive_partitions.flatMap((one) => one.files ?? []);
}

export const columns = () => ask<Columns>("GET", "/v1/table/schema");

export const rows = (limit: number) => ask<Rows>("GET", `/v1/table/rows?limit=${limit}`);

interface Verifying {
  onProgress: (progress: { message: string; position: number; length: number | null }) => void;
  onReport: (report: Report) => void;
  onFailed: (words: string) => void;
}

/** Verifies the table; what comes back ends it. */
export function verify({ onProgress, onReport, onFailed }: Verifying): () => void {
  const events = new EventSource("/v1/verify/events");
  const end = () => events.close();
  events.addEventListener("progress", (event) => onProgress(JSON.parse(event.data)));
  events.addEventListener("report", (event) => {
    end();
    onReport(JSON.parse(event.data));
  });
  events.addEventListener("failed", (event) => {
    end();
    const { error, hint } = JSON.parse(event.data);
    onFailed(`${error}${hint ? `: ${hint}` : ""}`);
  });
  // Refused, or the host is gone: the browser would ask again and again.
  events.addEventListener("error", () => {
    end();
    onFailed("the host does not answer, or the table is being verified already");
  });
  return end;
}
