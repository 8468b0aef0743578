/** Runs the test suite. */
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: "test/support/global-setup.ts",
    pool: "forks",
    sequence: { shuffle: { files: true, tests: false } },
  },
});
