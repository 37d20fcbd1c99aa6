// Hosts that read from a real Kafka, by a real schema registry: servers that are started for the tests that need them, and end
// with them.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { Host, test as base, using } from "./host";

const ROOT = resolve(import.meta.dirname, "../..");
const CLUSTER = join(ROOT, "tests/cluster/cluster.py");

export interface Sent {
  partition: number;
  value: string | null;
  key?: string;
  headers?: [string, string][];
  timestamp?: number;
}

const SEND = `
import json, sys
from confluent_kafka import Producer
producer = Producer({"bootstrap.servers": sys.argv[1], "queue.buffering.max.messages": 1_000_000})
for message in json.load(sys.stdin):
    message["headers"] = [tuple(header) for header in message.get("headers", [])]
    producer.produce(sys.argv[2], **message)
sys.exit(producer.flush(60))
`;

const COMMIT = `
import sys
from confluent_kafka import Consumer, TopicPartition
consumer = Consumer({"bootstrap.servers": sys.argv[1], "group.id": sys.argv[2]})
consumer.commit(offsets=[TopicPartition(sys.argv[3], 0, int(sys.argv[4]))], asynchronous=False)
`;

export class Cluster {
  kafka = "";
  registry = "";
  private python = "";
  private process?: ChildProcess;
  private readonly directory = mkdtempSync(join(tmpdir(), "wasmill-console-cluster-"));

  /** `run` ends its servers with us, whatever happens; what it runs tells where they are, and waits. */
  async start() {
    const words = ["run", "--dir", join(this.directory, "cluster"), "--kafka", "--registry", "--", "sh", "-c"];
    const tell = 'echo "servers $WASMILL_TEST_KAFKA $WASMILL_TEST_REGISTRY $WASMILL_TEST_PYTHON"; cat';
    const cluster = spawn(CLUSTER, [...words, tell], { stdio: ["pipe", "pipe", "pipe"] });
    this.process = cluster;
    let log = "";
    await new Promise<void>((found, failed) => {
      cluster.on("error", failed);
      cluster.on("exit", (code) => failed(new Error(`the cluster ended with ${code}:\n${log}`)));
      cluster.stderr.on("data", (data) => (log += data));
      cluster.stdout.on("data", (data) => {
        log += data;
        const told = /^servers (\S+) (\S+) (\S+)$/m.exec(log);
        if (!told) return;
        [this.kafka, this.registry, this.python] = told.slice(1) as [string, string, string];
        found();
      });
    });
  }

  /** A topic of that name. */
  topic(name: string, topicPartitions: number) {
    const place = join(this.directory, "cluster");
    this.run({}, CLUSTER, "topic", "create", name, "--partitions", String(topicPartitions), "--dir", place);
  }

  /** Sends messages, in their order; those without a payload are tombstones. */
  send(topic: string, messages: Sent[]) {
    this.run({ input: JSON.stringify(messages) }, this.python, "-c", SEND, this.kafka, topic);
  }

  /** Sends events that name schemas, by Confluent's serializer. */
  sendAvro(topic: string, from: number, count: number, ...more: string[]) {
    const words = ["produce", "--brokers", this.kafka, "--registry", this.registry, "--topic", topic];
    words.push("--from", String(from), "--count", String(count), ...more);
    this.run({}, this.python, join(ROOT, "tests/python/avro_events.py"), ...words);
  }

  /** Commits offsets for a group. */
  commit(group: string, topic: string, offset: number) {
    this.run({}, this.python, "-c", COMMIT, this.kafka, group, topic, String(offset));
  }

  private run(options: { input?: string }, command: string, ...words: string[]) {
    const done = spawnSync(command, words, { encoding: "utf8", ...options });
    if (done.status !== 0) throw new Error(`${command} ${words.join(" ")}: ${done.error ?? done.stdout + done.stderr}`);
  }

  async end() {
    const cluster = this.process;
    if (cluster && cluster.exitCode === null) {
      const gone = new Promise((done) => cluster.once("exit", done));
      cluster.stdin?.end();
      await gone;
    }
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** Events that are in PLAYS before its host starts, over its topic partitions. */
export const EVENTS = 10_000;
export const BEGUN_MS = Date.UTC(2026, 0, 1);
export const PLAYS = "plays";
export const OTHERS = "others";
export const AVRO = "avro_events";

const event = (n: number): Sent => ({
  partition: n % 2,
  key: `key-${n}`,
  value: JSON.stringify({ auth: "Logged In", duration: 200.5, ts: BEGUN_MS + n * 1000, n }),
  headers: [["trace", `trace-${n}`]],
  timestamp: BEGUN_MS + n * 1000,
});

async function withCluster({}: object, use: (cluster: Cluster) => Promise<void>) {
  const cluster = new Cluster();
  try {
    await cluster.start();
    cluster.topic(PLAYS, 2);
    cluster.topic(OTHERS, 1);
    cluster.topic(AVRO, 1);
    const bad = { partition: 0, value: "no event", timestamp: BEGUN_MS + EVENTS * 1000 };
    cluster.send(PLAYS, [...Array.from({ length: EVENTS - 2 }, (_, n) => event(n)), bad, { ...bad, value: null }]);
    cluster.send(OTHERS, [{ partition: 0, value: "something of theirs" }]);
    cluster.sendAvro(AVRO, 0, 20);
    cluster.sendAvro(AVRO, 20, 10, "--newer");
    cluster.sendAvro(AVRO, 0, 3, "--bad");
    await use(cluster);
  } finally {
    await cluster.end();
  }
}

const kafka = (cluster: Cluster, topic: string, more: string) =>
  `[source.kafka]\nbrokers = "${cluster.kafka}"\ntopics = ["${topic}"]\ngroup = "${topic}-readers"\n${more}`;

export const test = base.extend<object, { cluster: Cluster; kafkaHost: Host; avroHost: Host }>({
  cluster: [withCluster, { scope: "worker", timeout: 300_000 }],
  kafkaHost: [({ cluster }, use) => using(new Host(true, kafka(cluster, PLAYS, "")), use), { scope: "worker" }],
  /** One whose messages name schemas. Its columns are not all of theirs. */
  avroHost: [
    ({ cluster }, use) => {
      const registry = `format = "avro"\n[schema_registry]\nurl = "${cluster.registry}"`;
      return using(new Host(true, kafka(cluster, AVRO, registry)), use);
    },
    { scope: "worker" },
  ],
});

export { expect } from "@playwright/test";
