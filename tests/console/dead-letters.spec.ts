import { expect, test } from "./host";
import { isReadable, signIn } from "./page";

async function open(page: Parameters<typeof signIn>[0], host: Parameters<typeof signIn>[1], role: string) {
  await signIn(page, host, role);
  await page.getByRole("link", { name: "Dead letters" }).click();
  await expect(page.getByRole("heading", { name: "Dead letters" })).toBeVisible();
  await expect(async () => {
    await page.getByRole("button", { name: "Look again" }).click();
    await expect(page.getByText(/^[0-9,]+ dead letters/)).toBeVisible({ timeout: 2_000 });
  }).toPass();
}

async function count(page: Parameters<typeof signIn>[0]) {
  return Number((await page.getByText(/^[0-9,]+ dead letters/).innerText()).split(" ")[0]!.replaceAll(",", ""));
}

test("dead letters are counted by reason and over time", async ({ page, host }) => {
  await open(page, host, "admin");
  const reasons = page.getByRole("region", { name: "By reason" });
  await expect(reasons.getByRole("rowheader", { name: "not-json" })).toBeVisible();
  await expect(page.getByRole("img", { name: /^Dead letters from/ })).toBeVisible();
  expect(await page.locator("svg rect").count()).toBeGreaterThan(0);
  await page.getByLabel("Reason", { exact: true }).selectOption("not-json");
  await page.getByLabel("Recorded in").selectOption("the last hour");
  await expect(page.getByRole("img", { name: /in 1 minutes$/ })).toBeVisible();
  await isReadable(page);
});

test("one dead letter is shown with all that it holds", async ({ page, host }) => {
  await open(page, host, "admin");
  await page.getByRole("button", { name: /^stdin\/0@/ }).first().click();
  const dialog = page.getByRole("dialog");
  await expect(dialog.getByText("no event", { exact: true })).toBeVisible();
  await expect(dialog.getByText(/^not-json: /)).toBeVisible();
  await isReadable(page);
  await page.keyboard.press("Escape");
  await expect(dialog).toHaveCount(0);
});

test("a replay is tried first and then done, with why", async ({ page, ownHost }) => {
  await open(page, ownHost, "admin");
  await page.getByRole("button", { name: "Try a replay" }).click();
  await expect(page.getByText(/^It would be so: [0-9,]+ replayed through deployment 1, 0 rows written/)).toBeVisible();
  await page.getByLabel("Why").fill("a test");
  await page.getByRole("button", { name: /^Replay [0-9,]+/ }).click();
  await expect(page.getByText(/^Done: [0-9,]+ replayed/)).toBeVisible();
  await expect(page.getByText(/^[0-9,]+ dead letters, [1-9][0-9,]* replayed$/)).toBeVisible();
  const without = await count(page);
  await page.getByLabel("Those that were replayed, too").check();
  await expect.poll(() => count(page)).toBeGreaterThan(without);
});

test("a viewer sees counts and nothing of events", async ({ page, host }) => {
  await open(page, host, "viewer");
  await expect(page.getByText("What they hold is shown to tokens with the role payloads.")).toBeVisible();
  await expect(page.getByRole("button", { name: /^stdin/ })).toHaveCount(0);
  await expect(page.getByRole("button", { name: "Try a replay" })).toHaveCount(0);
  const told = await (await page.request.get(`${host.url}/v1/dead-letters`)).json();
  expect(told.latest.map((letter: { message: string }) => letter.message).join("")).toBe("");
  const query = "topic=stdin&topic_partition=0&offset=0";
  expect((await page.request.get(`${host.url}/v1/dead-letters/message?${query}`)).status()).toBe(403);
});
