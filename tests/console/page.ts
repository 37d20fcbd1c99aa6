// What the tests of all pages do with one.
import AxeBuilder from "@axe-core/playwright";
import type { Page } from "@playwright/test";
import { type Host, expect } from "./host";

export async function signIn(page: Page, host: Host, role: string) {
  await page.goto(`${host.url}/console`);
  await page.getByLabel("Token").fill(host.tokens[role]!);
  await page.getByRole("button", { name: "Sign in" }).click();
  await expect(page.getByRole("heading", { name: "Overview" })).toBeVisible();
}

/** No serious finding of axe, and nothing wider than the screen. */
export async function isReadable(page: Page) {
  for (const colorScheme of ["light", "dark"] as const) {
    await page.emulateMedia({ colorScheme });
    const { violations } = await new AxeBuilder({ page }).analyze();
    const serious = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
    expect(serious.map(({ id, nodes }) => [id, nodes.map((node) => node.html)])).toEqual([]);
  }
  for (const width of [360, 1280, 2560]) {
    await page.setViewportSize({ width, height: 800 });
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(width);
  }
  await page.setViewportSize({ width: 1280, height: 800 });
}
