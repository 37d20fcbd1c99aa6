// Modules that the tests upload: guests built from source in this run, and files that are none.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ROOT, WASMILL, test as base } from "./host";

/** Logs a line for each event, and lets every one through. */
const CHATTY = `
use wasmill_sdk::prelude::*;

#[derive(Reads)]
pub struct Play {
    ts: i64,
    duration: Option<f64>,
}

#[filter]
pub fn chatty(play: &Play) -> bool {
    match play.duration {
        Some(seconds) if seconds < 30.0 => wasmill_sdk::log::warn!("{} is short", play.ts),
        _ => wasmill_sdk::log::info!("{} is long", play.ts),
    }
    true
}
`;

/** A module with one import that no host offers. */
function foreign(): Buffer {
  const name = (text: string) => Buffer.concat([Buffer.from([text.length]), Buffer.from(text)]);
  const imported = Buffer.concat([Buffer.from([1]), name("wasi_snapshot_preview1"), name("fd_write"), Buffer.from([0, 0])]);
  const types = Buffer.from([1, 4, 1, 0x60, 0, 0]);
  return Buffer.concat([Buffer.from("\0asm\x01\0\0\0", "latin1"), types, Buffer.from([2, imported.length]), imported]);
}

export class Guests {
  private readonly directory = mkdtempSync(join(tmpdir(), "wasmill-guests-"));
  readonly keepPlays = this.path("keep_plays.wasm");
  readonly chatty = this.path("chatty.wasm");
  readonly foreign = this.path("foreign.wasm");
  readonly text = this.path("text.wasm");

  constructor() {
    this.wasmill("transform", "build", join(ROOT, "transforms/keep-plays"), "-o", this.keepPlays);
    this.wasmill("transform", "new", "chatty", "--into", this.directory);
    writeFileSync(this.path("chatty/src/lib.rs"), CHATTY);
    this.wasmill("transform", "build", this.path("chatty"), "-o", this.chatty);
    writeFileSync(this.foreign, foreign());
    writeFileSync(this.text, "hello");
  }

  private path(name: string) {
    return join(this.directory, name);
  }

  private wasmill(...args: string[]) {
    // What they depend on was built with the shipped transforms.
    const env = { ...process.env, CARGO_TARGET_DIR: join(ROOT, "target") };
    const done = spawnSync(WASMILL, args, { cwd: this.directory, encoding: "utf8", env });
    if (done.status !== 0) throw new Error(`wasmill ${args.join(" ")}: ${done.error ?? done.stderr}`);
  }

  remove() {
    rmSync(this.directory, { recursive: true });
  }
}

export const test = base.extend<object, { guests: Guests }>({
  guests: [
    async ({}, use) => {
      const guests = new Guests();
      await use(guests);
      guests.remove();
    },
    { scope: "worker", timeout: 600_000 },
  ],
});
