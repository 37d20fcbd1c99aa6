import type { Locator, Page } from "@playwright/test";
import { Host, expect, using } from "./host";
import { test as base } from "./guests";
import { isReadable, signIn } from "./page";

/** Events that the host makes itself on two topic partitions, in small batches, so that the machine has time for a browser. */
const SLOWLY = `[source.eventsim]
topic_partitions = 2
events = 1_000_000_000
faults = 0.01
[limits]
workers = 1
batch_rows = 8`;

const test = base.extend<{ slowHost: Host; fixedHost: Host }>({
  slowHost: ({}, use) => using(new Host(true, SLOWLY), use),
  /** One whose transforms stand in its file. */
  fixedHost: ({}, use) => using(new Host(true, undefined, false), use),
});

async function open(page: Page, host: Host, role: string) {
  await signIn(page, host, role);
  await page.getByRole("link", { name: "Transforms" }).click();
  await expect(page.getByRole("heading", { name: "Transforms", exact: true })).toBeVisible();
}

/** Drags files onto something, as the browser tells it to the page. */
async function drop(page: Page, onto: Locator, files: string[]) {
  await onto.scrollIntoViewIfNeeded();
  const box = (await onto.boundingBox())!;
  const at = { x: box.x + box.width / 2, y: box.y + box.height / 2 };
  const cdp = await page.context().newCDPSession(page);
  const data = { items: [], files, dragOperationsMask: 1 };
  for (const type of ["dragEnter", "dragOver", "drop"] as const) await cdp.send("Input.dispatchDragEvent", { type, ...at, data });
}

const zone = (page: Page) => page.getByRole("button", { name: /^Drop a module here/ });

const region = (page: Page, name: string) => page.getByRole("region", { name, exact: true });

/** Says why in the dialog that is open, and does it. */
async function confirm(page: Page, title: string, button: string, why: string) {
  const dialog = page.getByRole("dialog", { name: title });
  await expect(dialog.getByLabel("Why")).toBeFocused();
  await page.keyboard.type(why);
  await dialog.getByRole("button", { name: button, exact: true }).click();
  await expect(dialog).toHaveCount(0);
}

async function tryIt(page: Page, settings: string) {
  await page.getByLabel("Settings, NAME=VALUE a line").first().fill(settings);
  await page.getByRole("button", { name: "Try it" }).click();
  await expect(page.getByText("Tried; nothing was changed.")).toBeVisible();
}

const actions = (host: Host) =>
  (JSON.parse(host.run("deployments", "pipeline.toml", "--json")) as { action: unknown; by: string; note: string }[]).map(
    ({ action, by, note }) => [action, by, note],
  );

test("a module is looked at when it is dropped, and stored when it is told to", async ({ page, ownHost, guests }) => {
  await open(page, ownHost, "deployer");
  const rows = region(page, "Versions").locator("tbody tr");
  await expect(rows).toHaveCount(1);
  const upload = region(page, "Upload");
  await drop(page, zone(page), [guests.keepPlays]);
  await expect(page.getByText("keep_plays.wasm may run here.")).toBeVisible();
  await expect(page.getByText(/^a core module with its component type for interface/)).toBeVisible();
  await expect(page.getByText("It describes itself for this pipeline's columns.")).toBeVisible();
  await expect(upload.getByRole("textbox", { name: "Name" })).toHaveValue("keep-plays");
  await expect(upload.getByRole("textbox", { name: "Version" })).toHaveValue(/^[0-9]+\.[0-9]+\.[0-9]+$/);
  await expect(rows).toHaveCount(1);
  await upload.getByRole("textbox", { name: "Version" }).fill("1.1.0");
  await upload.getByRole("button", { name: "Upload", exact: true }).click();
  await expect(page.getByText("keep-plays@1.1.0 is uploaded; it can be deployed.")).toBeVisible();
  await expect(region(page, "Versions").getByRole("rowheader", { name: "keep-plays@1.1.0" })).toBeVisible();
  await expect(rows.first()).toContainText("token deployer");
  // The editor has it, too.
  await expect(page.getByRole("combobox", { name: "Version" }).locator("option")).toHaveText(["1.1.0", "1.0.0"]);
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: "Module of keep-plays@1.1.0" }).click()]);
  expect(download.suggestedFilename()).toBe("keep-plays-1.1.0.wasm");

  // Other bytes under a version that is there.
  await drop(page, zone(page), [guests.chatty]);
  await expect(page.getByText("chatty.wasm may run here.")).toBeVisible();
  await upload.getByRole("textbox", { name: "Name" }).fill("keep-plays");
  await upload.getByRole("textbox", { name: "Version" }).fill("1.1.0");
  await upload.getByRole("button", { name: "Upload", exact: true }).click();
  await expect(page.getByRole("alert")).toContainText("is there already with other bytes");
  await expect(page.getByRole("alert")).toContainText("What to do: a version never changes");
  await isReadable(page);
});

test("what may not run is told in full, by mouse and by keyboard", async ({ page, host, guests }) => {
  await open(page, host, "deployer");
  await zone(page).focus();
  const [chooser] = await Promise.all([page.waitForEvent("filechooser"), page.keyboard.press("Enter")]);
  await chooser.setFiles(guests.text);
  await expect(page.getByRole("alert")).toContainText("text.wasm may not run here: the file is not a WebAssembly module");
  await drop(page, zone(page), [guests.foreign]);
  await expect(page.getByRole("alert")).toContainText("foreign.wasm may not run here:");
  await expect(page.getByRole("alert")).toContainText("wasi_snapshot_preview1");
  await expect(page.getByRole("alert")).toContainText("What to do: build for wasm32-unknown-unknown");
  await drop(page, zone(page), [guests.text, guests.foreign]);
  await expect(page.getByRole("alert")).toContainText("That is not one module.");
  await isReadable(page);
  await expect(region(page, "Versions").locator("tbody tr")).toHaveCount(1);
});

test("a deployment is tried beside the present one, deployed, and rolled back", async ({ page, slowHost }) => {
  await open(page, slowHost, "admin");
  await expect(page.getByText(/^Deployment 1 runs/)).toBeVisible();
  await tryIt(page, "min_seconds=240");
  await expect(page.getByText("keep-plays: setting min_seconds (none) → 240")).toBeVisible();
  const sample = page.getByRole("region", { name: /^Sample run on 10,0[0-9]+ recent events/ });
  const kept = sample.getByRole("row", { name: /^Kept / }).getByRole("cell");
  const counts = (await kept.allInnerTexts()).map((text) => Number(text.replaceAll(",", "")));
  expect(counts[0]).toBeGreaterThan(counts[1]!);
  await expect(sample.getByRole("row", { name: /^Time for one event [0-9.]+ µs [0-9.]+ µs/ })).toBeVisible();
  await expect(page.getByText(/^Kept only by deployment 1: [1-9]/)).toBeVisible();
  const event = region(page, "Events that differ, and others").locator("tbody tr").first();
  await expect(event).toContainText("differs");
  await expect(event).toContainText("auth=Logged In");
  await expect(event.getByRole("cell").last()).toHaveText("filtered");
  await isReadable(page);

  await page.getByRole("button", { name: "Deploy", exact: true }).click();
  await expect(page.getByRole("dialog")).toContainText("All hosts swap to it, each topic partition with its next range");
  await isReadable(page);
  await page.keyboard.press("Escape");
  await expect(page.getByRole("dialog")).toHaveCount(0);
  expect(actions(slowHost)).toHaveLength(1);
  await page.getByRole("button", { name: "Deploy", exact: true }).click();
  await confirm(page, "Deploy", "Deploy", "longer plays");
  await expect(page.getByText("Deployment 2 runs within seconds.")).toBeVisible();
  await expect(page.getByText(/^Deployment 2 runs:/)).toBeVisible();
  await expect(region(page, "What each transform does").getByRole("row", { name: /^keep-plays@1.0.0 2 / })).toBeVisible();

  const history = region(page, "Deployments");
  await expect(history.getByRole("row", { name: /^2 .* deploy \(now\) keep-plays@1.0.0 token admin longer plays/ })).toBeVisible();
  await history.getByRole("button", { name: "Difference from deployment 1 to 2" }).click();
  await expect(region(page, "Difference")).toContainText("setting min_seconds (none) → 240");
  await page.getByLabel("From deployment", { exact: true }).selectOption("2");
  await expect(region(page, "Difference")).toContainText("Nothing changes.");

  await history.getByRole("button", { name: "Roll back to 1" }).click();
  await expect(page.getByRole("dialog")).toContainText("setting min_seconds 240 → (none)");
  await confirm(page, "Roll back to deployment 1", "Roll back", "too long");
  await expect(page.getByText(/^Deployment 3 runs:/)).toBeVisible();
  await expect(history.getByText("rollback to 1 (now)")).toBeVisible();
  expect(actions(slowHost).slice(1)).toEqual([
    ["deploy", "token admin", "longer plays"],
    [{ rollback: { to: 1 } }, "token admin", "too long"],
  ]);
});

test("a chain is written: more transforms, their order, and what is refused", async ({ page, host, guests }) => {
  host.run("push", "pipeline.toml", guests.chatty, "--name", "talk", "--version", "1.0.0");
  await open(page, host, "admin");
  await page.getByLabel("Recent events to try it on").fill("0");
  await page.getByRole("combobox", { name: "Transform", exact: true }).selectOption("talk");
  await page.getByLabel("Its name in the pipeline").fill("first-talk");
  await page.getByRole("button", { name: "Add", exact: true }).click();
  await page.getByRole("button", { name: "first-talk earlier" }).click();
  await expect(page.locator("legend").first()).toHaveText("first-talk (talk)");
  await page.getByLabel("Limits to change, LIMIT=VALUE a line").first().fill("memory=8MiB");
  await page.getByRole("button", { name: "Try it" }).click();
  await expect(page.getByText("+ first-talk: talk@1.0.0")).toBeVisible();
  await expect(page.getByText("It was not tried on any events.")).toBeVisible();
  await expect(page.getByText("auth string, duration double, ts long!")).toBeVisible();
  await page.getByLabel("Limits to change, LIMIT=VALUE a line").first().fill("memory=1");
  await page.getByRole("button", { name: "Try it" }).click();
  await expect(page.getByRole("alert")).toContainText("first-talk.memory=1: wanted a size like 64MiB");
  await expect(page.getByRole("button", { name: "Deploy", exact: true })).toHaveCount(0);
  await page.getByRole("button", { name: "As it is now" }).click();
  await expect(page.locator("legend").first()).toHaveText("keep-plays");
  // Standard input is read once: nothing can be tried.
  await page.getByLabel("Recent events to try it on").fill("10");
  await page.getByRole("button", { name: "Try it" }).click();
  await expect(page.getByRole("alert")).toContainText("standard input cannot be read for a sample");
  expect(actions(host)).toHaveLength(1);
});

test("a trial is begun, promoted, and another one ended", async ({ page, slowHost }) => {
  await open(page, slowHost, "admin");
  const begin = async (settings: string) => {
    await page.getByLabel("Recent events to try it on").fill("100");
    await page.getByLabel("On trial first").check();
    await page.getByLabel("One in how many of them").fill("2");
    // It takes its time beside a browser.
    await page.getByLabel("How much worse it may do").fill("failed=1,rejected=1,slower=1000");
    await tryIt(page, settings);
    await page.getByRole("button", { name: "Deploy on trial" }).click();
    await expect(page.getByRole("dialog")).toContainText("One in 2 of the topic partitions");
    await confirm(page, "Deploy on trial", "Deploy on trial", "a try");
  };
  await begin("min_seconds=200");
  await expect(page.getByText(/^Deployment 2 is on trial on listen_events\/0:/)).toBeVisible();
  const work = region(page, "What each transform does");
  await expect(work.getByRole("row", { name: /^keep-plays@1.0.0 2, on trial / })).toBeVisible();
  await expect(work.getByRole("row", { name: /^keep-plays@1.0.0 1 / })).toBeVisible();
  await isReadable(page);
  await page.getByRole("button", { name: "Promote deployment 2" }).click();
  await expect(page.getByRole("dialog")).toContainText("deployment 1 nowhere any more");
  await confirm(page, "Promote deployment 2", "Promote", "it does well");
  await expect(page.getByText(/^Deployment 2 runs:/)).toBeVisible();
  await page.getByRole("button", { name: "Begin again from 2" }).click();
  await expect(page.getByLabel("Settings, NAME=VALUE a line")).toHaveValue("min_seconds=200");
  await begin("min_seconds=300");
  await page.getByRole("button", { name: "End the trial" }).click();
  await expect(page.getByRole("dialog")).toContainText("listen_events/0 goes back to deployment 2");
  await confirm(page, "End the trial of deployment 4", "End the trial", "enough");
  await expect(page.getByText(/^Deployment 2 runs:/)).toBeVisible();
  expect(actions(slowHost).map(([action]) => action)).toEqual(["deploy", "canary", "promote", "canary", "abort"]);
});

test("the pipeline is paused and resumed", async ({ page, slowHost }) => {
  await open(page, slowHost, "deployer");
  await page.getByRole("button", { name: "Pause", exact: true }).click();
  await expect(page.getByRole("dialog")).toContainText("All hosts commit what is open, then read no more.");
  await confirm(page, "Pause the pipeline", "Pause", "maintenance");
  await expect(page.getByText(/^The pipeline is paused; when it goes on/)).toBeVisible();
  await expect(region(page, "Deployments").getByText("pause (now, paused)")).toBeVisible();
  await page.getByRole("button", { name: "Resume", exact: true }).click();
  await confirm(page, "Resume the pipeline", "Resume", "done");
  await expect(page.getByText(/^Deployment 1 runs/)).toBeVisible();
  expect(actions(slowHost).slice(1)).toEqual([
    ["pause", "token deployer", "maintenance"],
    ["resume", "token deployer", "done"],
  ]);
});

test("each transform's rates, time and memory are live, and its lines follow", async ({ page, ownHost, guests }) => {
  ownHost.run("push", "pipeline.toml", guests.chatty, "--version", "2.0.0");
  ownHost.run("deploy", "pipeline.toml", "keep-plays", "chatty", "--sample", "0");
  await open(page, ownHost, "admin");
  const row = region(page, "What each transform does").getByRole("row", { name: /^chatty@2.0.0 2 / });
  const cells = row.getByRole("cell");
  await expect(cells.nth(1)).toHaveText(/^[1-9]/);
  const events = async () => Number((await cells.nth(2).innerText()).replaceAll(",", ""));
  const before = await events();
  await expect.poll(events).toBeGreaterThan(before);
  await expect(cells.nth(3)).toHaveText("100.0 %");
  await expect(cells.nth(6)).toHaveText(/^[0-9.]+ (µs|ms)$/);
  await expect(cells.nth(9)).toHaveText(/^[0-9.]+ [kM]B of [0-9.]+ MB$/);

  const lines = page.getByRole("log", { name: "Logs" });
  await expect(lines.getByText(/ info chatty@2\.0\.0 \(2\) .*: [0-9]+ is long$/).first()).toBeVisible();
  const count = () => lines.locator("p").count();
  const first = await lines.locator("p").last().innerText();
  await expect.poll(() => lines.locator("p").last().innerText()).not.toBe(first);
  await page.getByRole("button", { name: "Follow" }).click();
  await expect(page.getByText("Stopped; new lines do not come here.")).toBeVisible();
  expect(await count()).toBeLessThanOrEqual(500);
  await isReadable(page);
  await page.getByRole("button", { name: "Follow" }).click();
  await page.getByLabel("At least").selectOption("error");
  await expect(page.getByText(/^No line of the last hour/)).toBeVisible();
  await page.getByLabel("At least").selectOption("info");
  await page.getByLabel("Of transform").selectOption("chatty");
  await expect(lines.getByText(/ is long$/).first()).toBeVisible();
});

test("a version is withdrawn, and can be deployed no more", async ({ page, ownHost, guests }) => {
  ownHost.run("push", "pipeline.toml", guests.keepPlays, "--version", "3.0.0");
  await open(page, ownHost, "deployer");
  await page.getByRole("button", { name: "Withdraw keep-plays@3.0.0" }).click();
  await expect(page.getByRole("dialog")).toContainText("It can be deployed no more, for good.");
  await confirm(page, "Withdraw keep-plays@3.0.0", "Withdraw", "it is wrong");
  await expect(page.getByText("withdrawn by token deployer: it is wrong")).toBeVisible();
  await expect(page.getByRole("combobox", { name: "Version" }).locator("option")).toHaveText(["1.0.0"]);
});

test("roles hide what may not be done, and the host forbids it", async ({ page, host }) => {
  await open(page, host, "viewer");
  await expect(page.getByText(/^Deployment 1 runs/)).toBeVisible();
  await expect(page.getByText("What transforms log is shown to tokens with the role payloads.")).toBeVisible();
  await expect(region(page, "Versions").getByText("can be deployed").first()).toBeVisible();
  await expect(page.locator("main").getByRole("button")).toHaveCount(0);
  const statuses = await page.evaluate(async () => {
    const { csrf } = await (await fetch("/console/session")).json();
    const headers = { "Content-Type": "application/json", "X-CSRF-Token": csrf };
    const post = async (path: string, body: string) => (await fetch(path, { method: "POST", headers, body })).status;
    return Promise.all([
      post("/v1/deployments", '{"transforms": ["keep-plays"], "dry_run": true}'),
      post("/v1/rollback", "{}"),
      post("/v1/promote", "{}"),
      post("/v1/vet", "x"),
      post("/v1/transforms", "x"),
      post("/v1/transforms/keep-plays@1.0.0/withdraw", "{}"),
      (async () => (await fetch("/v1/logs/events")).status)(),
    ]);
  });
  expect(statuses).toEqual([403, 403, 403, 403, 403, 403, 403]);
  await isReadable(page);
});

test("who may deploy and not see payloads sees no event", async ({ page, slowHost }) => {
  await open(page, slowHost, "deployer");
  await page.getByLabel("Recent events to try it on").fill("500");
  await tryIt(page, "min_seconds=240");
  await expect(page.getByText("Which events differ, and what became of them, is shown to tokens with the role payloads.")).toBeVisible();
  await expect(page.getByRole("region", { name: /^Events that differ/ })).toHaveCount(0);
  // Whoever names a secret could have any file of a host.
  await page.getByLabel("Settings, NAME=VALUE a line").fill("min_seconds=env:HOME");
  await page.getByRole("button", { name: "Try it" }).click();
  await expect(page.getByRole("alert")).toContainText("needs the role admin");
});

test("a pipeline that fixes its transforms says how to deploy them instead", async ({ page, fixedHost }) => {
  await open(page, fixedHost, "admin");
  await expect(page.getByText(/^Nothing is deployed: the transforms of this pipeline stand in its file\./)).toBeVisible();
  await expect(page.getByText(/^None yet\. Build a module with/)).toBeVisible();
  await expect(page.getByRole("button", { name: "Try it" })).toHaveCount(0);
  await isReadable(page);
});
