// A real host over a table on the local disk, fed with events line by line.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { test as base } from "@playwright/test";

export const ROOT = resolve(import.meta.dirname, "../..");
export const WASMILL = process.env.WASMILL ? resolve(ROOT, process.env.WASMILL) : join(ROOT, "target/release/wasmill");
const MODULE = join(ROOT, "target/transforms/keep_plays.wasm");
const ROLES = ["viewer", "payloads", "deployer", "admin"] as const;
const LINES = 50;

/** Lines that a test feeds; they are read once. */
const FED = '[source.file]\npath = "-"';
/** Events that the host makes itself, which it can read again. */
const SIMULATED = "[source.eventsim]\ntopic_partitions = 1\nevents = 1_000_000_000\nfaults = 0.01";

const pipeline = (tokens: boolean, source: string, isDeployed: boolean) => `
[pipeline]
name = "plays"
${isDeployed ? 'transforms = "deployed"' : ""}
[admin]
listen = "127.0.0.1:0"
${tokens ? 'tokens = "tokens.toml"' : ""}
${source}
[schema]
auth = "string"
duration = "double"
ts = "long!"
[table]
location = "table"
event_time = { column = "ts", unit = "ms" }
partition_by = ["year", "month", "day"]
[dead_letters]
location = "dead_letters"
[checkpoint]
location = "checkpoints"
interval = "2s"
`;

export class Host {
  readonly tokens: Record<string, string> = {};
  url = "";
  private readonly directory = mkdtempSync(join(tmpdir(), "wasmill-console-"));
  private process?: ChildProcess;
  private feeding?: NodeJS.Timeout;

  /** Not `isDeployed`: the file fixes that there are no transforms. */
  constructor(withTokens: boolean, private readonly source = FED, isDeployed = true) {
    writeFileSync(join(this.directory, "pipeline.toml"), pipeline(withTokens, source, isDeployed));
    for (const role of withTokens ? ROLES : []) {
      this.tokens[role] = this.run("token", role, "--role", role, "--into", "tokens.toml").trim();
    }
    if (!isDeployed) return;
    this.run("push", "pipeline.toml", MODULE, "--version", "1.0.0");
    this.run("deploy", "pipeline.toml", "keep-plays", "--sample", "0");
  }

  async start() {
    const host = spawn(WASMILL, ["run", "pipeline.toml"], { cwd: this.directory, stdio: ["pipe", "ignore", "pipe"] });
    this.process = host;
    host.stdin.on("error", () => undefined);
    let log = "";
    this.url = await new Promise((found, failed) => {
      host.on("error", failed);
      host.on("exit", (code) => failed(new Error(`the host ended with ${code}:\n${log}`)));
      host.stderr.on("data", (data) => {
        log += data;
        const address = /the admin API listens on (\S+)/.exec(log)?.[1];
        if (address) found(address);
      });
    });
    if (this.source !== FED) return;
    // One event in LINES is none.
    this.feeding = setInterval(() => {
      for (let line = 0; line < LINES; line++) {
        const event = { auth: "Logged In", duration: 200.5, ts: Date.now() };
        host.stdin.write(line === 0 ? "no event\n" : `${JSON.stringify(event)}\n`);
      }
    }, 100);
  }

  run(...args: string[]): string {
    const done = spawnSync(WASMILL, args, { cwd: this.directory, encoding: "utf8" });
    if (done.status !== 0) throw new Error(`wasmill ${args.join(" ")}: ${done.error ?? done.stderr}`);
    return done.stdout;
  }

  /** Takes a role's token back. */
  revoke(role: string) {
    const path = join(this.directory, "tokens.toml");
    const entries = readFileSync(path, "utf8").split(/(?=\[\[tokens\]\])/);
    writeFileSync(path, entries.filter((entry) => !entry.includes(`name = "${role}"`)).join(""));
  }

  async end() {
    clearInterval(this.feeding);
    const host = this.process;
    if (host && host.exitCode === null && host.signalCode === null) {
      const gone = new Promise((done) => host.once("exit", done));
      host.kill("SIGTERM");
      await gone;
    }
    this.process = undefined;
  }

  remove() {
    rmSync(this.directory, { recursive: true });
  }
}

export async function using(host: Host, use: (host: Host) => Promise<void>) {
  await host.start();
  await use(host);
  await host.end();
  host.remove();
}

export const test = base.extend<{ ownHost: Host; rereadingHost: Host }, { host: Host; openHost: Host }>({
  host: [({}, use) => using(new Host(true), use), { scope: "worker" }],
  /** One without tokens. */
  openHost: [({}, use) => using(new Host(false), use), { scope: "worker" }],
  /** One that the test may take its source from. */
  ownHost: ({}, use) => using(new Host(true), use),
  /** One that goes on where it was after a pause. */
  rereadingHost: ({}, use) => using(new Host(true, SIMULATED), use),
});

export { expect } from "@playwright/test";
