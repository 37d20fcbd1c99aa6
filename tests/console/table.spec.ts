import { type Host, expect, test } from "./host";
import { isReadable, signIn } from "./page";

async function open(page: Parameters<typeof signIn>[0], host: Host, role: string) {
  await signIn(page, host, role);
  await page.getByRole("link", { name: "Table" }).click();
  await expect(page.getByRole("heading", { name: "Table", exact: true })).toBeVisible();
  await expect(async () => {
    await page.getByRole("button", { name: "Look again" }).click();
    await expect(page.getByText(/^[1-9][0-9,]* files in 1 hive partitions/)).toBeVisible({ timeout: 2_000 });
  }).toPass();
}

test("the tree opens down to the files", async ({ page, host }) => {
  await open(page, host, "admin");
  const year = page.getByRole("button", { name: /^year=/ });
  await expect(year).toHaveAttribute("aria-expanded", "false");
  await year.focus();
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: /^month=/ }).click();
  await page.getByRole("button", { name: /^day=/ }).click();
  const files = page.getByRole("region", { name: /^Files in year=/ });
  await expect(files.getByRole("rowheader", { name: /^part-stdin-0-.*\.parquet$/ }).first()).toBeVisible();
  await isReadable(page);
  await year.click();
  await expect(files).toHaveCount(0);
});

test("columns and rows are those of the files", async ({ page, host }) => {
  await open(page, host, "admin");
  const columns = page.getByRole("region", { name: "Columns" });
  await expect(columns.getByRole("row", { name: /^duration double may be/ })).toBeVisible();
  await expect(columns.getByRole("row", { name: /^year .* in the path$/ })).toBeVisible();
  const rows = page.getByRole("region", { name: "The first rows" });
  await expect(rows.getByRole("columnheader", { name: "auth" })).toBeVisible();
  await expect(rows.getByRole("cell", { name: "200.5" }).first()).toBeVisible();
});

test("the table is verified, with what was found", async ({ page, host }) => {
  await open(page, host, "viewer");
  await expect(page.getByText("Rows are shown to tokens with the role payloads.")).toBeVisible();
  await page.getByRole("button", { name: "Verify" }).click();
  await expect(page.getByText("All is as the checkpoints say.")).toBeVisible();
  await expect(page.getByText(/^[1-9][0-9,]* messages: [1-9][0-9,]* rows written/)).toBeVisible();
  await expect(page.getByRole("region", { name: "Deployments" }).getByText(/^keep-plays@/)).toBeVisible();
  await isReadable(page);
});
