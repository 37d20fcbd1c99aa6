import type { Page } from "@playwright/test";
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
