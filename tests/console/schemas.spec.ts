import type { Page } from "@playwright/test";
import { difference } from "../../host/console/src/difference";
import { AVRO, expect, test } from "./broker";
import type { Host } from "./host";
import { isReadable, signIn } from "./page";

async function open(page: Page, host: Host) {
  await signIn(page, host, "viewer");
  await page.getByRole("link", { name: "Schemas" }).click();
  await expect(page.getByRole("heading", { name: "Schemas", exact: true })).toBeVisible();
}

test("the pipeline's subject, its versions and how they differ", async ({ page, avroHost }) => {
  await open(page, avroHost);
  const all = page.getByRole("region", { name: "Subjects" });
  await expect(all.getByRole("row", { name: `${AVRO}-value messages` })).toBeVisible();
  await expect(page.getByRole("heading", { name: `${AVRO}-value` })).toBeVisible();
  await expect(page.getByText(/^Avro, id [0-9]+\. [0-9]+ lines differ from version 1\.$/)).toBeVisible();
  const difference = page.getByRole("region", { name: "The difference" });
  await expect(difference.locator("ins").filter({ hasText: '"name": "more"' })).toBeVisible();
  await expect(difference.locator("del").filter({ hasText: '"type": "int"' })).toBeVisible();
  await expect(page.getByText(/^Messages of this version become no rows of the pipeline's table: /)).toBeVisible();
  await isReadable(page);
  await page.getByLabel("compared with").selectOption("2");
  await expect(page.getByText(/It reads as version 2\.$/)).toBeVisible();
  await page.getByLabel("Version", { exact: true }).selectOption("1");
  await page.getByLabel("compared with").selectOption("nothing");
  const text = page.getByRole("region", { name: "The schema" });
  await expect(text).toContainText('"name": "Event"');
  await expect(text).not.toContainText('"more"');
  await page.getByLabel("Name contains").fill("no such subject");
  await expect(page.getByText("No name contains that.")).toBeVisible();
});

test("without a registry the page says what to set", async ({ page, host }) => {
  await open(page, host);
  await expect(page.getByText("None: this pipeline has no schema registry.")).toBeVisible();
  await expect(page.getByText("[schema_registry]")).toBeVisible();
  await isReadable(page);
});

test("a difference holds both texts, and as much of them as they share", () => {
  const shown = (first: string, second: string) =>
    difference(first, second).map(({ kind, text }) => ({ both: " ", first: "-", second: "+" })[kind] + text).join("");
  expect(shown("a\nb\nc", "a\nb\nc")).toBe(" a b c");
  expect(shown("a\nb\nc", "a\nx\nc\nd")).toBe(" a-b+x c+d");
  expect(shown("a\nb\nc\nd", "b\nd\ne")).toBe("-a b-c d+e");
  expect(shown("", "a")).toBe("-+a");
  // Too much to compare line by line: all of it is told.
  const many = (letter: string) => Array.from({ length: 3_000 }, (_, n) => letter + n).join("\n");
  expect(difference(many("a"), many("b"))).toHaveLength(6_000);
  const letters = "abcab";
  for (let n = 0; n < 500; n++) {
    const draw = () => Array.from({ length: n % 7 }, () => letters[Math.floor(Math.random() * letters.length)]).join("\n");
    const [first, second] = [draw(), draw()];
    const without = (kind: string) => difference(first, second).filter((line) => line.kind !== kind).map((line) => line.text);
    expect(without("second").join("\n")).toBe(first);
    expect(without("first").join("\n")).toBe(second);
  }
});
