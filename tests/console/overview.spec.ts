import type { Page } from "@playwright/test";
import { expect, test } from "./host";
import { isReadable, signIn } from "./page";

const figure = (page: Page, name: string) =>
  page.locator(".figure", { has: page.getByText(name, { exact: true }) }).locator("dd");

async function number(page: Page, name: string) {
  return Number((await figure(page, name).innerText()).replace(/[^0-9.]/g, "") || NaN);
}

test("nobody is let in without a token of this pipeline", async ({ page, host }) => {
  await page.goto(`${host.url}/console`);
  await expect(page.getByLabel("Token")).toBeFocused();
  await page.keyboard.type("wasmill_wrong");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("alert")).toHaveText("this is no token for this pipeline");
  await isReadable(page);
  expect((await page.request.get(`${host.url}/v1/hosts`)).status()).toBe(401);
});

test("the page and its cookie are what the browser may keep strict", async ({ page, context, host }) => {
  const refused: string[] = [];
  page.on("console", (message) => {
    if (message.text().includes("Content Security Policy")) refused.push(message.text());
  });
  const answer = await page.goto(`${host.url}/console`);
  const policy = answer!.headers()["content-security-policy"]!;
  expect(policy).toContain("default-src 'none'");
  expect(policy).not.toContain("unsafe");
  await signIn(page, host, "viewer");
  const [cookie] = await context.cookies();
  expect(cookie).toMatchObject({ httpOnly: true, sameSite: "Strict", path: "/" });
  expect(cookie!.expires).toBeLessThan(Date.now() / 1000 + 13 * 3600);
  expect(await page.evaluate(() => document.cookie)).toBe("");
  expect(refused).toEqual([]);
});

test("the overview is live", async ({ page, host }) => {
  await signIn(page, host, "viewer");
  await expect(page.getByRole("status").first()).toHaveText("Live");
  await expect(page.getByRole("heading", { name: "plays" })).toBeVisible();
  await expect(page.locator("table").first().locator("tbody tr")).toHaveCount(1);
  await expect(page.getByText("running", { exact: true })).toBeVisible();
  const written = await number(page, "Rows written");
  await expect.poll(() => number(page, "Rows written"), { timeout: 45_000 }).toBeGreaterThan(written || 0);
  await expect.poll(() => number(page, "Events"), { timeout: 45_000 }).toBeGreaterThan(100);
  expect(await number(page, "Dead letters")).toBeGreaterThan(0);
  await expect(figure(page, "Last commit")).toContainText("ago");
  await expect(page.getByText("Nothing that a host knows of.")).toBeVisible();
  await isReadable(page);
});

// What keeps the first paint short on any machine; its time here is only told.
test("the page is there before a host has answered", async ({ page, host }, testInfo) => {
  await signIn(page, host, "viewer");
  await page.route("**/v1/**", () => {});
  await page.reload();
  await expect(page.getByRole("heading", { name: "Overview" })).toBeVisible();
  const first = () => page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? null);
  await expect.poll(first).not.toBeNull();
  testInfo.annotations.push({ type: "first paint", description: `${Math.round((await first()) ?? 0)} ms` });
});

test("who may not change anything is shown nothing to change it with, and is refused", async ({ page, host }) => {
  await signIn(page, host, "viewer");
  await expect(page.getByText("Nothing that a host knows of.")).toBeVisible();
  await expect(page.getByRole("button", { name: "Pause" })).toHaveCount(0);
  const status = await page.evaluate(async () => {
    const { csrf } = await (await fetch("/console/session")).json();
    const headers = { "Content-Type": "application/json", "X-CSRF-Token": csrf };
    return (await fetch("/v1/pause", { method: "POST", headers, body: "{}" })).status;
  });
  expect(status).toBe(403);
});

test("a deployer pauses and resumes, and only with the page's own token", async ({ page, rereadingHost }) => {
  await signIn(page, rereadingHost, "deployer");
  const told = await page.evaluate(async () => {
    const headers = { "Content-Type": "application/json" };
    const answer = await fetch("/v1/pause", { method: "POST", headers, body: "{}" });
    return [answer.status, (await answer.json()).error];
  });
  expect(told).toEqual([403, expect.stringContaining("X-CSRF-Token")]);
  await page.getByLabel("Why").fill("a test");
  await page.getByRole("button", { name: "Pause" }).click();
  await expect(page.getByRole("heading", { name: "The pipeline is paused" })).toBeVisible();
  await expect(page.getByText(/, paused/)).toBeVisible();
  await page.getByLabel("Why").fill("it went well");
  await page.getByRole("button", { name: "Resume" }).click();
  await expect(page.getByRole("heading", { name: "Pause", exact: true })).toBeVisible();
  const log = JSON.parse(rereadingHost.run("deployments", "pipeline.toml", "--json")) as { by: string; note: string }[];
  expect(log.slice(-2).map(({ by, note }) => [by, note])).toEqual([
    ["token deployer", "a test"],
    ["token deployer", "it went well"],
  ]);
});

test("whoever signs out is out, and so is whose token was taken back", async ({ page, context, host }) => {
  await signIn(page, host, "admin");
  const kept = await context.cookies();
  await page.getByRole("button", { name: "Sign out" }).click();
  await expect(page.getByLabel("Token")).toBeVisible();
  expect(await context.cookies()).toEqual([]);
  await context.addCookies(kept);
  expect((await page.request.get(`${host.url}/v1/hosts`)).status()).toBe(401);
  await context.clearCookies();

  await signIn(page, host, "payloads");
  expect((await page.request.get(`${host.url}/v1/hosts`)).status()).toBe(200);
  host.revoke("payloads");
  await expect.poll(async () => (await page.request.get(`${host.url}/v1/hosts`)).status()).toBe(401);
  await page.reload();
  await expect(page.getByLabel("Token")).toBeVisible();
});

test("without tokens this machine needs no sign-in, and no other page may ask", async ({ page, openHost }) => {
  await page.goto(`${openHost.url}/console`);
  await expect(page.getByText("without sign-in, from this machine")).toBeVisible();
  await page.getByLabel("Why").fill("a test");
  await page.getByRole("button", { name: "Pause" }).click();
  await expect(page.getByText(/Paused; hosts end what is open/)).toBeVisible();
  const headers = { Origin: "http://elsewhere.example" };
  expect((await page.request.get(`${openHost.url}/v1/hosts`, { headers })).status()).toBe(403);

  await openHost.end();
  await expect(page.getByText("The host does not answer; these are its last figures.")).toBeVisible();
});
