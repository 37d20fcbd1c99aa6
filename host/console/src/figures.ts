// Figures of a pipeline from the statuses that its hosts write. Pure.
import type { Host, Totals, TopicPartition } from "./api";

const KEYS = ["read", "written", "filtered", "dead_lettered", "committed"] as const;

export function totals(hosts: Host[]): Totals {
  const sum: Totals = { read: 0, written: 0, filtered: 0, dead_lettered: 0, committed: 0 };
  for (const host of hosts) for (const key of KEYS) sum[key] += host.totals[key];
  return sum;
}

/** Messages read a second by all hosts, between the last two statuses of each; since its start where there is only one. */
export function rate(hosts: Host[], before: Map<string, Host>): number {
  let sum = 0;
  for (const host of hosts) {
    const earlier = before.get(host.host);
    const read = host.totals.read - (earlier?.totals.read ?? 0);
    const ms = host.at_ms - (earlier?.at_ms ?? host.started_at_ms);
    if (ms > 0) sum += (read * 1000) / ms;
  }
  return sum;
}

export const topicPartitions = (hosts: Host[]): (TopicPartition & { machine: string })[] =>
  hosts
    .flatMap((host) => host.topic_partitions.map((one) => ({ ...one, machine: host.machine })))
    .sort((a, b) => a.topic_partition.localeCompare(b.topic_partition, "en", { numeric: true }));

/** Messages that wait; `null`: the source does not tell. */
export function lag(hosts: Host[]): number | null {
  const known = topicPartitions(hosts).flatMap((one) => (one.lag === null ? [] : [one.lag]));
  return known.length ? known.reduce((a, b) => a + b) : null;
}

/** Milliseconds since the topic partition that is behind most was committed; those that are done are not behind. */
export function staleness(hosts: Host[], nowMs: number): number | null {
  const open = topicPartitions(hosts).filter((one) => one.state !== "done" && one.committed_at_ms !== undefined);
  return open.length ? nowMs - Math.min(...open.map((one) => one.committed_at_ms!)) : null;
}

export interface Trouble {
  what: string;
  todo: string;
}

/** What is wrong now, and what to do about it; the worst first. */
export function troubles(hosts: Host[]): Trouble[] {
  const found: Trouble[] = [];
  for (const one of topicPartitions(hosts)) {
    if (one.state === "stopped") {
      found.push({
        what: `Topic partition ${one.topic_partition} has stopped: ${one.error ?? "its host's log says why"}`,
        todo: "Nothing of it is skipped, the others go on. Mend what the message names, then start the host again.",
      });
    }
  }
  for (const host of hosts) {
    for (const [what, health] of Object.entries(host.storage ?? {})) {
      if ((health.failed_at_ms ?? -1) >= (health.answered_at_ms ?? 0)) {
        found.push({
          what: `The storage of ${what} does not answer ${host.machine}: ${health.error ?? ""}`,
          todo: "Is the server up, and may this user read and write there? The host tries again by itself.",
        });
      }
    }
    if (host.kafka && host.kafka.unreachable > 0) {
      found.push({
        what: `${host.machine} does not reach ${host.kafka.unreachable} of ${host.kafka.brokers} brokers: ${host.kafka.error ?? ""}`,
        todo: "Are the brokers up, and their advertised addresses right? The host tries again by itself.",
      });
    }
    for (const problem of host.problems ?? []) {
      found.push({ what: `${host.machine}: ${problem}`, todo: "The host goes on with what it has, and tries again." });
    }
  }
  for (const one of topicPartitions(hosts)) {
    if (one.state === "retrying") {
      found.push({
        what: `Topic partition ${one.topic_partition} failed and is tried again: ${one.error ?? ""}`,
        todo: "If it stays so, look at the host's log.",
      });
    }
  }
  return found;
}

const number = new Intl.NumberFormat("en");

export const grouped = (value: number) => number.format(value);

export function perSecond(value: number): string {
  return number.format(value < 10 ? Math.round(value * 10) / 10 : Math.round(value));
}

export function bytes(value: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let power = 0;
  while (value >= 1000 && power < units.length - 1) {
    value /= 1000;
    power += 1;
  }
  return `${value >= 100 || power === 0 ? Math.round(value) : value.toFixed(1)} ${units[power]}`;
}

export function span(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 3600)} h`;
}

/** A time in UTC. */
export const moment = (ms: number) => new Date(ms).toISOString().slice(0, 19).replace("T", " ");
