/** Tests of the log reader: readers of the same output share one query, and none of them misses new output. */
import { afterAll, beforeAll, beforeEach, expect, it, vi } from "vitest";
import type { Infra } from "../../src/infra.ts";
import { followLog } from "../../src/logs/follow.ts";
import { createLogReader, type LogReader } from "../../src/logs/reader.ts";
import { saveJob, saveRun } from "../support/old-runs.ts";
import { type TestInfra, testInfra } from "../support/test-infra.ts";

const FOLLOWERS = 100;
const RUNNING = { closing: new AbortController().signal };

let infra: TestInfra;
let runId: string;
let attemptId: string;
beforeAll(async () => {
  infra = await testInfra();
}, 30_000);
afterAll(() => infra?.[Symbol.asyncDispose]());
beforeEach(async () => {
  const job = await saveJob(infra.db.prisma, {});
  runId = (await saveRun(infra.db.prisma, job, { endedDaysAgo: null })).id;
  attemptId = (await infra.db.prisma.attempt.findFirstOrThrow({ where: { runId } })).id;
});

/** A reader whose queries are counted, and whose signals the test sends. */
function countingReader(): { reader: LogReader; queries: string[]; signal: () => void } {
  const queries: string[] = [];
  const counted = async <T>(name: string, answer: PromiseLike<T>): Promise<T> => {
    const answered = await answer;
    queries.push(name);
    return answered;
  };
  const listeners = new Set<Parameters<Infra["signals"]["subscribe"]>[0]>();
  const sqlRead: Infra["db"]["sqlRead"] = (work) => counted("progress", infra.db.sqlRead(work));
  const $queryRaw = (...query: Parameters<typeof infra.db.prisma.$queryRaw>) => {
    return counted("text", infra.db.prisma.$queryRaw(...query));
  };
  const prisma = { $queryRaw } as unknown as typeof infra.db.prisma;
  const signals: Infra["signals"] = {
    ...infra.signals,
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
  const reader = createLogReader({ ...infra, db: { ...infra.db, prisma, sqlRead }, signals }, RUNNING);
  return {
    reader,
    queries,
    signal: () => {
      for (const listener of listeners) listener({ type: "log", runs: [runId] });
    },
  };
}

it("queries once for all readers at the same position", async () => {
  const { reader, queries } = countingReader();
  const texts = await Promise.all(
    Array.from({ length: FOLLOWERS }, () => reader.text(attemptId, 0, { ended: false })),
  );
  expect(new Set(texts)).toEqual(new Set([{ text: "done\n", position: 5 }]));
  await Promise.all(Array.from({ length: FOLLOWERS }, () => reader.progress(runId)));
  expect(queries).toEqual(["text", "progress"]);
  await reader.text(attemptId, 0, { ended: false });
  expect(queries).toHaveLength(3);
});

it("queries again after a change", async () => {
  const { reader, queries, signal } = countingReader();
  const unwatch = reader.watch(runId, () => undefined);
  const early = reader.text(attemptId, 5, { ended: false });
  signal();
  await Promise.all([early, reader.text(attemptId, 5, { ended: false })]);
  expect(queries).toHaveLength(2);
  unwatch();
});

it("wakes all followers together", async () => {
  const { reader, queries, signal } = countingReader();
  const part = { from: { ordinal: 0, position: 0 }, last: undefined };
  const followers = Array.from({ length: FOLLOWERS }, () => followLog(reader, runId, part, RUNNING));
  const next = () => Promise.all(followers.map(async (one) => (await one.next()).value));
  expect(new Set((await next()).map((step) => step?.kind))).toEqual(new Set(["output"]));
  // Each follower has read to the end and waits.
  const idle = next();
  await expect.poll(() => queries.length).toBe(3);
  await infra.db.prisma.attemptLog.create({ data: { attemptId, position: 5, bytes: Buffer.from("more\n") } });
  signal();
  expect(new Set((await idle).map((step) => step?.kind))).toEqual(new Set(["idle"]));
  const more = await next();
  expect(more.filter((step) => step?.kind === "output" && step.text === "more\n")).toHaveLength(FOLLOWERS);
  // The queries: progress, text, text at the end; then progress and text for the new output.
  expect(queries.length).toBeLessThanOrEqual(3 + 2 + 2);
  for (const one of followers) await one.return(undefined);
});

it("ends all followers when the service stops, without waiting for the next poll", async () => {
  vi.useFakeTimers({ toFake: ["setInterval"] });
  using _real = { [Symbol.dispose]: () => void vi.useRealTimers() };
  const closing = new AbortController();
  const stopping = { closing: closing.signal };
  const part = { from: { ordinal: 0, position: 5 }, last: undefined };
  const follower = followLog(createLogReader(infra, stopping), runId, part, stopping);
  const waiting = follower.next();
  closing.abort();
  expect(await waiting).toMatchObject({ value: { kind: "idle" } });
  expect(await follower.next()).toEqual({ done: true, value: undefined });
});
