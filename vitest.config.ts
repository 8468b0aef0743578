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
    // Vitest's default is one file at a time on two cores, but most tests wait for processes and databases. Two files
    // that start several services hold up to 70 of the 100 connections that the embedded Postgres allows.
    maxWorkers: 2,
    testTimeout: 20_000,
    hookTimeout: 30_000,
    sequence: { shuffle: { files: true, tests: false } },
  },
});
