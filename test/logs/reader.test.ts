/** Many who read the same output ask the database once, and nobody misses what came while others were asking. */
import { afterAll, beforeAll, beforeEach, expect, it, vi } from "vitest";
import type { Deps } from "../../src/deps.ts";
import { followLog } from "../../src/logs/follow.ts";
import { createLogReader, type LogReader } from "../../src/logs/reader.ts";
import { type TestDeps, testDeps } from "../support/deps.ts";
import { saveJob, saveRun } from "../support/old-runs.ts";

const FOLLOWERS = 100;

let deps: TestDeps;
let runId: string;
let attemptId: string;
beforeAll(async () => {
  deps = await testDeps();
}, 30_000);
afterAll(() => deps?.[Symbol.asyncDispose]());
beforeEach(async () => {
  const job = await saveJob(deps.db.prisma, {});
  runId = (await saveRun(deps.db.prisma, job, { endedDaysAgo: null })).id;
  attemptId = (await deps.db.prisma.attempt.findFirstOrThrow({ where: { runId } })).id;
});

/** A reader on a database that counts what it has answered, and signals that the test sends. */
function countingReader(): { reader: LogReader; queries: string[]; signal: () => void } {
  const queries: string[] = [];
  const counted = async <T>(name: string, answer: PromiseLike<T>): Promise<T> => {
    const answered = await answer;
    queries.push(name);
    return answered;
  };
  const listeners = new Set<Parameters<Deps["signals"]["subscribe"]>[0]>();
  const run = {
    findUnique(query: Parameters<typeof deps.db.prisma.run.findUnique>[0]) {
      return counted("progress", deps.db.prisma.run.findUnique(query));
    },
  };
  const $queryRaw = (...query: Parameters<typeof deps.db.prisma.$queryRaw>) => {
    return counted("text", deps.db.prisma.$queryRaw(...query));
  };
  const prisma = { run, $queryRaw } as unknown as typeof deps.db.prisma;
  const signals: Deps["signals"] = {
    ...deps.signals,
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
  const reader = createLogReader({ ...deps, db: { ...deps.db, prisma }, signals }, deps);
  return {
    reader,
    queries,
    signal: () => {
      for (const listener of listeners) listener({ type: "log", runs: [runId] });
    },
  };
}

it("asks once for all who stand at the same place", async () => {
  const { reader, queries } = countingReader();
  const texts = await Promise.all(Array.from({ length: FOLLOWERS }, () => reader.text(attemptId, 0, false)));
  expect(new Set(texts)).toEqual(new Set([{ text: "done\n", position: 5 }]));
  await Promise.all(Array.from({ length: FOLLOWERS }, () => reader.progress(runId)));
  expect(queries).toEqual(["text", "progress"]);
  await reader.text(attemptId, 0, false);
  expect(queries).toHaveLength(3);
});

it("asks anew once something has changed", async () => {
  const { reader, queries, signal } = countingReader();
  const unwatch = reader.watch(runId, () => undefined);
  const early = reader.text(attemptId, 5, false);
  signal();
  await Promise.all([early, reader.text(attemptId, 5, false)]);
  expect(queries).toHaveLength(2);
  unwatch();
});

it("wakes all followers together", async () => {
  const { reader, queries, signal } = countingReader();
  const part = { from: { ordinal: 0, position: 0 }, last: undefined };
  const followers = Array.from({ length: FOLLOWERS }, () => followLog(reader, runId, part, deps));
  const next = () => Promise.all(followers.map(async (one) => (await one.next()).value));
  expect(new Set((await next()).map((step) => step?.kind))).toEqual(new Set(["output"]));
  // Each has read to the end, and waits.
  const idle = next();
  await expect.poll(() => queries.length).toBe(3);
  await deps.db.prisma.attemptLog.create({ data: { attemptId, position: 5, bytes: Buffer.from("more\n") } });
  signal();
  expect(new Set((await idle).map((step) => step?.kind))).toEqual(new Set(["idle"]));
  const more = await next();
  expect(more.filter((step) => step?.kind === "output" && step.text === "more\n")).toHaveLength(FOLLOWERS);
  // progress, text, text at the end; then the same two for what came.
  expect(queries.length).toBeLessThanOrEqual(3 + 2 + 2);
  for (const one of followers) await one.return(undefined);
});

it("ends for all who follow when the service stops, without a second's delay", async () => {
  vi.useFakeTimers({ toFake: ["setInterval"] });
  using _real = { [Symbol.dispose]: () => void vi.useRealTimers() };
  const closing = new AbortController();
  const stopping = { ...deps, closing: closing.signal };
  const part = { from: { ordinal: 0, position: 5 }, last: undefined };
  const follower = followLog(createLogReader(deps, stopping), runId, part, stopping);
  const waiting = follower.next();
  closing.abort();
  expect(await waiting).toMatchObject({ value: { kind: "idle" } });
  expect(await follower.next()).toEqual({ done: true, value: undefined });
});
