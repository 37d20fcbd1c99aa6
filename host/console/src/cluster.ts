// Topics, their messages, consumer groups and schemas as the admin API tells them.
import { ask } from "./api";

export interface ListedTopic {
  name: string;
  topic_partitions: number;
  replicas: number;
  internal: boolean;
  of_pipeline: boolean;
}

export interface Topics {
  brokers: string | null;
  topics: ListedTopic[];
}

export interface Topic {
  name: string;
  of_pipeline: boolean;
  topic_partitions: {
    topic_partition: number;
    low: number | null;
    high: number | null;
    leader: number | null;
    replicas: number[];
    in_sync: number[];
    pipeline: { host: string; machine: string; state: string; committed: number | null; lag: number | null } | null;
  }[];
  settings: { name: string; value: string | null; own: boolean }[];
}

export type Content = { text: string } | { hex: string };

export interface Message {
  topic_partition: number;
  offset: number;
  timestamp_ms: number | null;
  key: Content | null;
  headers: { name: string; value: Content | null }[];
  payload: Content | null;
  payload_bytes: number;
  schema: number | null;
  decoded: unknown;
  problem: { reason: string; detail: string } | null;
  cut: boolean;
}

export interface Place {
  topic_partition: number;
  offset: number;
}

export interface Page {
  messages: Message[];
  scanned: number;
  from: Place[];
  next: Place[];
  ended: "end" | "limit" | "scanned" | "time";
}

export interface Wanted {
  topicPartition: number | null;
  offset?: number;
  timeMs?: number;
  from?: Place[];
  contains: string;
  limit: number;
  scan: number;
}

export interface ConsumerGroup {
  group: string;
  state: string | null;
  protocol: string | null;
  members: number | null;
}

export interface GroupPosition {
  topic: string;
  topic_partition: number;
  committed: number;
  high: number;
  lag: number;
}

const topicPath = (topic: string) => `/v1/topics/${encodeURIComponent(topic)}`;

export const topics = () => ask<Topics>("GET", "/v1/topics");

export const topic = (name: string) => ask<Topic>("GET", topicPath(name));

export const consumerGroups = () => ask<{ of_pipeline: string; groups: ConsumerGroup[] }>("GET", "/v1/consumer-groups");

export async function groupPositions(group: string): Promise<GroupPosition[]> {
  const found = await ask<{ topic_partitions: GroupPosition[] }>("GET", `/v1/consumer-groups/${encodeURIComponent(group)}`);
  return found.topic_partitions;
}

export function messages(topic: string, wanted: Wanted): Promise<Page> {
  const query = new URLSearchParams({ limit: String(wanted.limit), scan: String(wanted.scan) });
  if (wanted.topicPartition !== null) query.set("topic_partition", String(wanted.topicPartition));
  if (wanted.contains) query.set("contains", wanted.contains);
  if (wanted.from) query.set("from", wanted.from.map((one) => `${one.topic_partition}:${one.offset}`).join(","));
  else if (wanted.offset !== undefined) query.set("offset", String(wanted.offset));
  else if (wanted.timeMs !== undefined) query.set("time_ms", String(wanted.timeMs));
  return ask("GET", `${topicPath(topic)}/messages?${query}`);
}

/** One message as a whole; `undefined`: it is gone. */
export async function wholeMessage(topic: string, { topic_partition, offset }: Message): Promise<Message | undefined> {
  const query = new URLSearchParams({
    topic_partition: String(topic_partition),
    offset: String(offset),
    limit: "1",
    whole: "true",
  });
  const page = await ask<Page>("GET", `${topicPath(topic)}/messages?${query}`);
  return page.messages.find((one) => one.offset === offset);
}

export interface Tick {
  messages: Message[];
  scanned: number;
  passed_over: number;
}

interface Following {
  onTick: (tick: Tick) => void;
  /** It ends, and why. */
  onEnd: (words: string) => void;
}

/** Follows a topic; what comes back ends it. */
export function follow(topic: string, topicPartition: number | null, contains: string, { onTick, onEnd }: Following) {
  const query = new URLSearchParams();
  if (topicPartition !== null) query.set("topic_partition", String(topicPartition));
  if (contains) query.set("contains", contains);
  const events = new EventSource(`${topicPath(topic)}/messages/events?${query}`);
  const end = (words: string) => {
    events.close();
    onEnd(words);
  };
  events.addEventListener("messages", (event) => onTick(JSON.parse(event.data)));
  events.addEventListener("failed", (event) => {
    const { error, hint } = JSON.parse(event.data);
    end(`${error}${hint ? `: ${hint}` : ""}`);
  });
  events.addEventListener("ended", () => end("half an hour is over"));
  // Refused, or the host is gone: the browser would ask again and again.
  events.addEventListener("error", () => end("the host does not answer, or too many follow a topic"));
  return () => events.close();
}

export interface Subjects {
  registry: string | null;
  uses: { subject: string; what: "table" | "messages"; version: string | null }[];
  subjects: string[];
}

export interface SchemaVersion {
  subject: string;
  version: number;
  id: number | null;
  kind: string;
  schema: string;
  references: { name: string; subject: string; version: number }[];
  unfit: string | null;
}

const subjectPath = (subject: string) => `/v1/schemas/${encodeURIComponent(subject)}`;

export const subjects = () => ask<Subjects>("GET", "/v1/schemas");

export async function schemaVersions(subject: string): Promise<number[]> {
  return (await ask<{ versions: number[] }>("GET", subjectPath(subject))).versions;
}

export const schemaVersion = (subject: string, version: number) =>
  ask<SchemaVersion>("GET", `${subjectPath(subject)}/versions/${version}`);
