/** Runs the test suite. */
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: "test/support/global-setup.ts",
    pool: "forks",
    // Tests start real databases and processes, two at a time on two cores.
    testTimeout: 20_000,
    hookTimeout: 30_000,
    sequence: { shuffle: { files: true, tests: false } },
  },
});
