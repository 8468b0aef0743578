/** Tests every regular expression of the service against hostile texts: none may backtrack for long. */
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { expect, it } from "vitest";
import type { Task, Trial } from "./support/pattern-thread.ts";
import { type Pattern, sourcePatterns } from "./support/source-patterns.ts";

const ROOT = join(import.meta.dirname, "..");
/** The CPU time for one text of 50 kB. A linear pattern takes less than 5 ms, a quadratic one over 500 ms. */
const LIMIT_MS = 150;
/** The wall time for all texts of one pattern. A thread that takes longer is stuck in the pattern. */
const STUCK_MS = 20_000;

it("finds no slow regular expression in src on texts of 50 kB", async () => {
  const patterns = await sourcePatterns(ROOT, "src");
  expect(patterns.length).toBeGreaterThan(40);
  expect(patterns.map(({ place }) => place.replace(/:\d+$/, ""))).toContain("src/time/cron.ts");
  expect(await slow(patterns)).toEqual([]);
}, 120_000);

it("finds regular expressions that are known to be slow", async () => {
  const careless = ["^(a+)+$", "(x+x+)+y", "\\s+$", '"[^"\\\\]*(?:\\\\.[^"\\\\]*)*"'];
  for (const source of careless) {
    expect(await slow([{ place: "here:1", source, flags: "g" }], 1_000)).toEqual([
      expect.stringMatching(/^here:1 /),
    ]);
  }
}, 60_000);

/** Returns the places of the patterns that take too long. */
async function slow(patterns: readonly Pattern[], stuckMs = STUCK_MS): Promise<string[]> {
  const done = Promise.withResolvers<string[]>();
  const found: string[] = [];
  const workerData: Task = { patterns, limitMs: LIMIT_MS };
  const thread = new Worker(join(import.meta.dirname, "support/pattern-thread.ts"), { workerData });
  let stuck: NodeJS.Timeout | undefined;
  thread.on("message", (message: string | Trial) => {
    clearTimeout(stuck);
    if (typeof message === "string") {
      stuck = setTimeout(() => done.resolve([...found, `${message} never ends`]), stuckMs);
    } else if (message.ms > LIMIT_MS) {
      found.push(`${message.place} took ${message.ms} ms on ${JSON.stringify(message.text)}`);
    }
  });
  thread.on("error", done.reject);
  thread.on("exit", () => done.resolve(found));
  try {
    return await done.promise;
  } finally {
    clearTimeout(stuck);
    await thread.terminate();
  }
}
