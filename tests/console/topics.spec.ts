import type { Page } from "@playwright/test";
import { AVRO, EVENTS, OTHERS, PLAYS, expect, test } from "./broker";
import type { Host } from "./host";
import { isReadable, signIn } from "./page";

async function open(page: Page, host: Host, role: string) {
  await signIn(page, host, role);
  await page.getByRole("link", { name: "Topics" }).click();
  await expect(page.getByRole("heading", { name: "Topics", exact: true })).toBeVisible();
  await expect(page.getByText(/^[0-9]+ topics at/)).toBeVisible();
}

const messages = (page: Page) => page.getByRole("listbox", { name: "Messages that were found" });

test("topics are listed, the pipeline's first, with offsets, owners and settings", async ({ page, kafkaHost }) => {
  await open(page, kafkaHost, "viewer");
  const all = page.getByRole("region", { name: "All topics" });
  await expect(all.getByRole("row").nth(1)).toHaveText(new RegExp(`^${PLAYS}21this pipeline$`));
  await expect(async () => {
    await page.getByRole("button", { name: "Look again" }).click();
    const first = page.getByRole("region", { name: "Topic partitions" }).getByRole("row").nth(1);
    await expect(first).toHaveText(/^005,001broker 11 of 1\S+@\S+running5,0010$/, { timeout: 2_000 });
  }).toPass();
  await page.getByText(/^Settings/).click();
  await expect(page.getByRole("region", { name: "Settings" }).getByRole("row", { name: /^retention.ms/ })).toBeVisible();
  await expect(page.getByText("Messages of this topic are shown to tokens with the role payloads.")).toBeVisible();
  await isReadable(page);
  await page.getByLabel("Name contains").fill("oth");
  await expect(all.getByRole("row")).toHaveCount(2);
  await page.getByRole("button", { name: OTHERS }).click();
  await expect(page.getByText("Messages of this topic are shown to tokens with the role admin.")).toBeVisible();
  await page.getByLabel("Name contains").fill("no such topic");
  await expect(page.getByText("No name contains that.")).toBeVisible();
});

test("the latest messages are shown, and one as a whole, by the keyboard", async ({ page, kafkaHost }) => {
  await open(page, kafkaHost, "payloads");
  await page.getByRole("button", { name: "Look", exact: true }).click();
  await expect(page.getByText("500 messages. That is the end as it is now.")).toBeVisible();
  await messages(page).focus();
  await page.keyboard.press("End");
  await expect(messages(page).getByRole("option", { name: /none: a tombstone/ })).toHaveAttribute("aria-selected", "true");
  await page.keyboard.press("ArrowUp");
  await expect(messages(page).getByRole("option", { name: /no event/ })).toHaveAttribute("aria-selected", "true");
  await isReadable(page);
  await page.keyboard.press("Enter");
  const one = page.getByRole("dialog");
  await expect(one.getByRole("heading")).toHaveText(`${PLAYS}/0@4999`);
  await expect(one.getByText("not-json")).toBeVisible();
  await isReadable(page);
  await page.keyboard.press("Escape");
  await page.keyboard.press("ArrowUp");
  await page.keyboard.press("Enter");
  await expect(one.getByText(`trace-${EVENTS - 3}`)).toBeVisible();
  await expect(one.getByText('"auth": "Logged In"')).toBeVisible();
  await one.getByRole("button", { name: "Close" }).click();
  await expect(one).toHaveCount(0);
});

test("messages are found by offset and by time, and read on and back", async ({ page, kafkaHost }) => {
  await open(page, kafkaHost, "payloads");
  const status = page.getByRole("status").filter({ hasText: "messages" });
  await page.getByLabel("Topic partition", { exact: true }).selectOption("1");
  await page.getByLabel("From", { exact: true }).selectOption("an offset");
  await page.getByLabel("Offset", { exact: true }).fill("2000");
  await page.getByRole("button", { name: "Look", exact: true }).click();
  const first = messages(page).getByRole("option").first();
  await expect(first).toHaveText(/^1@2000.*key-4001/);
  await expect(status).toHaveText(/^500 messages\. There are more: read on\./);
  await page.getByRole("button", { name: "Read on" }).click();
  await expect(status).toHaveText(/^1,000 messages\./);
  await page.getByRole("button", { name: "Older" }).click();
  await expect(status).toHaveText(/^1,500 messages\./);
  await messages(page).focus();
  await page.keyboard.press("Home");
  await expect(first).toHaveText(/^1@1500\s*2026-/);
  await page.getByLabel("From", { exact: true }).selectOption("a time");
  await page.getByLabel("Time (UTC)").fill("2026-01-01T01:00:01");
  await page.getByRole("button", { name: "Look", exact: true }).click();
  await expect(first).toHaveText(/^1@1800.*2026-01-01 01:00:01/);
});

test("ten thousand messages are read, of which few are in the page", async ({ page, kafkaHost }) => {
  await open(page, kafkaHost, "payloads");
  await page.getByLabel("From", { exact: true }).selectOption("the beginning");
  await page.getByRole("button", { name: "Look", exact: true }).click();
  for (let count = 500; count < EVENTS; count += 500) {
    await expect(page.getByText(`${count.toLocaleString("en")} messages. There are more: read on.`)).toBeVisible();
    await page.getByRole("button", { name: "Read on" }).click();
  }
  // One topic partition has two messages more than the other.
  await expect(page.getByText("9,999 messages. There are more: read on.")).toBeVisible();
  await page.getByRole("button", { name: "Read on" }).click();
  await expect(page.getByText("10,000 messages. That is the end as it is now.")).toBeVisible();
  await messages(page).focus();
  await page.keyboard.press("End");
  const last = messages(page).getByRole("option", { selected: true });
  await expect(last).toHaveAttribute("aria-posinset", String(EVENTS));
  await page.keyboard.press("PageUp");
  expect(await messages(page).getByRole("option").count()).toBeLessThan(60);
  await page.mouse.wheel(0, -100_000);
  await page.keyboard.press("Home");
  await expect(messages(page).getByRole("option").first()).toHaveText(/^0@0\s*2026-/);
});

test("a search says how many messages it looked through", async ({ page, kafkaHost }) => {
  await open(page, kafkaHost, "payloads");
  const look = page.getByRole("button", { name: "Look", exact: true });
  await page.getByLabel("From", { exact: true }).selectOption("the beginning");
  await page.getByLabel("Contains", { exact: true }).fill("trace-4321");
  await page.getByLabel("Search at most").selectOption("1,000 messages");
  await look.click();
  await expect(page.getByText("Searched 1,000 messages, found 0. That is not the end: read on.")).toBeVisible();
  await page.getByRole("button", { name: "Read on" }).click();
  await expect(page.getByText("Searched 2,000 messages, found 0. That is not the end: read on.")).toBeVisible();
  await page.getByLabel("Search at most").selectOption("100,000 messages");
  await look.click();
  await expect(page.getByText(/^Searched 10,000 messages, found 1\./)).toBeVisible();
  await expect(messages(page).getByRole("option")).toHaveText(/key-4321/);
});

test("a tail shows what comes, until it is stopped", async ({ page, cluster, kafkaHost }) => {
  await open(page, kafkaHost, "payloads");
  await page.getByLabel("Contains", { exact: true }).fill("tail");
  await page.getByRole("button", { name: "Follow" }).click();
  await expect(page.getByText("Following: 0 messages of 0 that came.")).toBeVisible();
  const send = () => cluster.send(PLAYS, ["a tail", "nothing"].map((value) => ({ partition: 1, value, key: "late" })));
  await expect(async () => {
    send();
    await expect(messages(page).getByRole("option", { name: /a tail/ }).first()).toBeVisible({ timeout: 2_000 });
  }).toPass();
  await expect(messages(page).getByRole("option", { name: /nothing/ })).toHaveCount(0);
  await isReadable(page);
  await page.getByRole("button", { name: "Stop" }).click();
  await expect(page.getByText(/^Followed: [1-9][0-9]* messages of/)).toBeVisible();
  await expect(page.getByRole("button", { name: "Follow" })).toBeVisible();
});

test("who may read whose messages", async ({ page, kafkaHost }) => {
  await open(page, kafkaHost, "admin");
  await page.getByRole("button", { name: OTHERS }).click();
  await expect(page.getByRole("heading", { name: OTHERS })).toBeVisible();
  await page.getByRole("button", { name: "Look", exact: true }).click();
  await expect(messages(page).getByRole("option")).toHaveText(/something of theirs/);
});

test("consumer groups are shown with their lag", async ({ page, cluster, kafkaHost }) => {
  cluster.commit("their-group", OTHERS, 0);
  await open(page, kafkaHost, "viewer");
  const all = page.getByRole("region", { name: "All consumer groups" });
  // The host may be joining still; the list is of the moment when the page was opened.
  await expect(async () => {
    await page.reload();
    await expect(all.getByRole("row", { name: `${PLAYS}-readers Stable 1 this pipeline` })).toBeVisible({ timeout: 3_000 });
  }).toPass({ timeout: 90_000 });
  await all.getByRole("button", { name: "their-group" }).click();
  await expect(page.getByText("their-group is 1 offsets behind in 1 topic partitions.")).toBeVisible();
  const offsets = page.getByRole("region", { name: "Offsets of their-group" });
  await expect(offsets.getByRole("row", { name: `${OTHERS}/0 0 1 1` })).toBeVisible();
  await all.getByRole("button", { name: `${PLAYS}-readers` }).click();
  await expect(page.getByText("its own positions stand beside its data")).toBeVisible();
  await isReadable(page);
});

test("messages that name schemas are decoded, and what is bad is shown with its bytes", async ({ page, avroHost }) => {
  await open(page, avroHost, "admin");
  await expect(page.getByRole("heading", { name: AVRO })).toBeVisible();
  await page.getByRole("button", { name: "Look", exact: true }).click();
  await expect(page.getByText("33 messages. That is the end as it is now.")).toBeVisible();
  await messages(page).focus();
  await page.keyboard.press("Home");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  const one = page.getByRole("dialog");
  // Fields that the table does not have, too.
  await expect(one.getByText('"city": "city 1"')).toBeVisible();
  await expect(one.getByText(/^00 00 00 00 /)).toBeVisible();
  await page.keyboard.press("Escape");
  const unknown = messages(page).getByRole("option", { name: /unknown-schema/ });
  await page.keyboard.press("End");
  await unknown.click();
  await expect(one.getByText("the message names schema 2000000000, which the registry does not have")).toBeVisible();
  await isReadable(page);
});

test("a pipeline that reads no Kafka is told what to do", async ({ page, host }) => {
  await signIn(page, host, "viewer");
  await page.getByRole("link", { name: "Topics" }).click();
  await expect(page.getByText("None: this pipeline does not read from Kafka.")).toBeVisible();
  await isReadable(page);
});
