import { defineConfig } from "@playwright/test";

// One browser, one host: Debian's Chromium, and the binary that WASMILL names.
export default defineConfig({
  testDir: ".",
  outputDir: "results",
  timeout: 120_000,
  expect: { timeout: 45_000 },
  workers: 1,
  forbidOnly: true,
  reporter: "line",
  use: {
    // A browser that is not there fails every test.
    launchOptions: { executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] },
    screenshot: "only-on-failure",
  },
});
