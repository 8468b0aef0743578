/** Runs the test suite. */
import path from "node:path";
import { defineConfig } from "vitest/config";

// Each test file is a process that loads Fastify and Prisma anew. The cache spares it the compiling.
process.env["NODE_COMPILE_CACHE"] ??= path.join(import.meta.dirname, "node_modules", ".compile-cache");

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: "test/support/global-setup.ts",
    pool: "forks",
    // One file per core. Vitest leaves a core free by default, which on two cores means one file at a time; but most
    // tests wait for processes and databases.
    maxWorkers: "100%",
    testTimeout: 20_000,
    hookTimeout: 30_000,
    sequence: { shuffle: { files: true, tests: false } },
  },
});
