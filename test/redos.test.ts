/** Every regular expression of the service on texts made to keep it busy: none may take more than a moment. */
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { expect, it } from "vitest";
import { type Pattern, sourcePatterns } from "./support/source-patterns.ts";
import type { Task, Trial } from "./support/try-patterns.ts";

const ROOT = join(import.meta.dirname, "..");
/** CPU time for one text of 50 kB. What grows with the text's length takes less than 5; with its square, over 500. */
const LIMIT_MS = 150;
/** Wall time in which the thread must be done with all texts of one pattern, or is stuck in it. */
const STUCK_MS = 20_000;

it("takes less than a moment on 50 kB, wherever it stands in src", async () => {
  const patterns = await sourcePatterns(ROOT, "src");
  expect(patterns.length).toBeGreaterThan(40);
  expect(patterns.map(({ place }) => place.replace(/:\d+$/, ""))).toContain("src/time/cron.ts");
  expect(await slow(patterns)).toEqual([]);
}, 120_000);

it("would be noticed if it did not", async () => {
  const careless = ["^(a+)+$", "(x+x+)+y", "\\s+$", '"[^"\\\\]*(?:\\\\.[^"\\\\]*)*"'];
  for (const source of careless) {
    expect(await slow([{ place: "here:1", source, flags: "g" }], 1_000)).toEqual([
      expect.stringMatching(/^here:1 /),
    ]);
  }
}, 60_000);

/** The places of those that take too long. */
async function slow(patterns: readonly Pattern[], stuckMs = STUCK_MS): Promise<string[]> {
  const done = Promise.withResolvers<string[]>();
  const found: string[] = [];
  const workerData: Task = { patterns, limitMs: LIMIT_MS };
  const thread = new Worker(join(import.meta.dirname, "support/try-patterns.ts"), { workerData });
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
