/** Tests of live logs on a real Postgres: output is stored soon, in order, bounded, and never after the end. */
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import { createLiveLogs, type LiveLogs } from "../../src/logs/live.ts";
import { completeOutput } from "../../src/logs/pieces.ts";
import { MAX_WRITE_BYTES } from "../../src/logs/rules/live-output.ts";
import { keptSpans, renderOutput, type Span } from "../../src/logs/rules/output.ts";
import type { Database } from "../../src/postgres/client.ts";
import { type OldJob, saveJob, saveRun } from "../support/old-runs.ts";
import { storedPieces } from "../support/stored-pieces.ts";
import { type TestInfra, testInfra } from "../support/test-infra.ts";

const MIB = 1_048_576;
const SOON = { timeout: 15_000, interval: 20 };

let infra: TestInfra;
let job: OldJob;
beforeAll(async () => {
  infra = await testInfra();
  job = await saveJob(infra.db.prisma, {});
}, 30_000);
afterAll(() => infra?.[Symbol.asyncDispose]());

let runId: string;
let attemptId: string;
beforeEach(async () => {
  ({ runId, attemptId } = await runningAttempt());
});

async function runningAttempt() {
  const { id } = await saveRun(infra.db.prisma, job, { endedDaysAgo: null });
  const attempt = await infra.db.prisma.attempt.findFirstOrThrow({ where: { runId: id } });
  await infra.db.prisma.attemptLog.deleteMany({ where: { attemptId: attempt.id } });
  return { runId: id, attemptId: attempt.id };
}

const failOnError = (error: Error): void => {
  throw error;
};

/** Live logs that the end of the test closes. */
function liveLogs(db: Database = infra.db, onError = failOnError): LiveLogs & AsyncDisposable {
  const logs = createLiveLogs(db, onError);
  return { ...logs, [Symbol.asyncDispose]: () => logs.close() };
}

const attempt = (logLimitBytes = MIB, secrets: string[] = []) => ({ attemptId, logLimitBytes, secrets });
const stored = async (id = attemptId) =>
  (await storedPieces(infra.db.prisma, id)).map(({ position, bytes }) => ({ position, bytes: bytes.length }));
/** Joins adjacent pieces. */
const storedSpans = async (): Promise<Span[]> => {
  const spans: Span[] = [];
  for (const { position, bytes } of await stored()) {
    const last = spans.at(-1);
    if (last?.to === position) last.to += bytes;
    else spans.push({ from: position, to: position + bytes });
  }
  return spans;
};
const storedText = async (id = attemptId) => renderOutput(await storedPieces(infra.db.prisma, id)).text;
const storedBytes = async () => (await stored()).reduce((sum, { bytes }) => sum + bytes, 0);

/** Bytes whose values depend on their position. */
function numbered(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let at = 0; at + 4 <= length; at += 4) bytes.writeUInt32BE(at, at);
  return bytes;
}

it("stores output while the command runs, and sends a signal with the run's id", async () => {
  const signalled: string[] = [];
  const unsubscribe = infra.signals.subscribe((signal) => {
    if (signal.type === "log") signalled.push(...(signal.runs ?? []));
  });
  await using logs = liveLogs();
  const log = logs.open(attempt());
  log.write(Buffer.from("one\n"));
  await expect.poll(() => storedText(), SOON).toBe("one\n");
  log.write(Buffer.from("two\n"));
  await expect.poll(() => storedText(), SOON).toBe("one\ntwo\n");
  await expect.poll(() => new Set(signalled), SOON).toEqual(new Set([runId]));
  unsubscribe();
  // The second line extended the first piece.
  expect(await stored()).toEqual([{ position: 0, bytes: 8 }]);
});

it("writes at most half a MiB of an attempt four times a second, however much is printed", async () => {
  const rounds: { at: number; bytes: number }[] = [];
  const transaction: Database["transaction"] = async (work) => {
    const at = performance.now();
    const result = await infra.db.transaction(work);
    rounds.push({ at, bytes: await storedBytes() });
    return result;
  };
  await using logs = liveLogs({ ...infra.db, transaction });
  const log = logs.open(attempt(8 * MIB));
  const output = numbered(2 * MIB);
  log.write(output);
  await expect.poll(() => rounds.at(-1)?.bytes, SOON).toBe(output.length);
  const growths = rounds.map(({ bytes }, index) => bytes - (rounds[index - 1]?.bytes ?? 0));
  expect(growths).toEqual(Array.from({ length: 4 }, () => MAX_WRITE_BYTES));
  const pauses = rounds.slice(1).map(({ at }, index) => at - (rounds[index]?.at ?? 0));
  expect(Math.min(...pauses)).toBeGreaterThan(240);
});

it("leaves a gap for output that came too fast, and completes the end when the command has ended", async () => {
  await using logs = liveLogs();
  const log = logs.open(attempt());
  const output = numbered(8 * MIB);
  log.write(output.subarray(0, MIB / 2));
  await expect.poll(storedBytes, SOON).toBe(MIB / 2);
  log.write(output.subarray(MIB / 2, 4 * MIB));
  await expect.poll(storedBytes, SOON).toBe(MIB);
  expect(await storedSpans()).toEqual([
    { from: 0, to: MIB / 2 },
    { from: 3.5 * MIB, to: 4 * MIB },
  ]);
  // Half of the kept end is stored. The other half was never written.
  log.write(output.subarray(4 * MIB, 4.25 * MIB));
  const final = log.finish();
  expect(final.missing.map(({ position }) => position)[0]).toBe(4 * MIB);
  await infra.db.transaction((tx) => completeOutput(tx, attemptId, final));
  expect(await storedSpans()).toEqual(keptSpans(4.25 * MIB, MIB));
  for (const { position, bytes } of await storedPieces(infra.db.prisma, attemptId)) {
    expect(Buffer.compare(bytes, output.subarray(position, position + bytes.length))).toBe(0);
  }
});

it("deletes pieces that no longer belong to the kept end, so that the size stays bounded", async () => {
  await using logs = liveLogs();
  const log = logs.open(attempt(64 * 1_024));
  const most: number[] = [];
  for (let count = 1; count <= 6; count++) {
    log.write(Buffer.alloc(20_000, `${count}`));
    await expect.poll(() => storedText(), SOON).toMatch(new RegExp(`${count}$`));
    most.push(await storedBytes());
  }
  // One piece may reach beyond the start of the kept end.
  expect(Math.max(...most)).toBeLessThanOrEqual(64 * 1_024 + 20_000);
  expect((await stored()).map(({ position }) => position)).not.toContain(32_768);
});

it("writes nothing to an ended attempt, and does not wait for one that is being settled", async () => {
  const late = await runningAttempt();
  const settling = await runningAttempt();
  await infra.db.prisma.attempt.update({ where: { id: late.attemptId }, data: { state: "lost" } });
  await using logs = liveLogs();
  const held = Promise.withResolvers<void>();
  const locked = Promise.withResolvers<void>();
  const settlement = infra.db.transaction(async (tx) => {
    await tx.$queryRaw`SELECT 1 AS locked FROM attempt WHERE id = ${settling.attemptId}::uuid FOR UPDATE`;
    locked.resolve();
    await held.promise;
  });
  await locked.promise;
  for (const id of [late.attemptId, settling.attemptId, attemptId]) {
    logs.open({ ...attempt(), attemptId: id }).write(Buffer.from("late"));
  }
  await expect.poll(() => storedText(), SOON).toBe("late");
  held.resolve();
  await settlement;
  expect(await storedText(late.attemptId)).toBe("");
  expect(await storedText(settling.attemptId)).toBe("");
});

it.each(["away", "silent after the commit"])("loses no output while the database is %s", async (how) => {
  let away = true;
  let refused = 0;
  const errors: Error[] = [];
  const transaction: Database["transaction"] = async (work) => {
    const result = away && how === "away" ? undefined : await infra.db.transaction(work);
    if (!away) return result as Awaited<ReturnType<typeof work>>;
    refused++;
    throw Object.assign(new Error("no database"), { code: "ECONNREFUSED" });
  };
  await using logs = liveLogs({ ...infra.db, transaction }, (error) => void errors.push(error));
  const log = logs.open(attempt());
  const output = numbered(60_000);
  log.write(output.subarray(0, 20_000));
  await expect.poll(() => refused, SOON).toBeGreaterThan(0);
  log.write(output.subarray(20_000, 40_000));
  await expect.poll(() => refused, SOON).toBeGreaterThan(1);
  log.write(output.subarray(40_000));
  await expect.poll(() => refused, SOON).toBeGreaterThan(2);
  away = false;
  await expect.poll(storedSpans, SOON).toEqual([{ from: 0, to: 60_000 }]);
  expect(errors).toHaveLength(1);
  const final = log.finish();
  await infra.db.transaction((tx) => completeOutput(tx, attemptId, final));
  const bytes = (await storedPieces(infra.db.prisma, attemptId)).map((piece) => piece.bytes);
  expect(Buffer.compare(Buffer.concat(bytes), output)).toBe(0);
});

it("stores the whole output at the end although no live write succeeded", async () => {
  const hanging = Promise.withResolvers<never>();
  const started = Promise.withResolvers<void>();
  const transaction: Database["transaction"] = () => {
    started.resolve();
    return hanging.promise;
  };
  const errors: Error[] = [];
  const logs = createLiveLogs({ ...infra.db, transaction }, (error) => void errors.push(error));
  const log = logs.open(attempt());
  log.write(Buffer.from("all\n"));
  await started.promise;
  // Neither the command nor its settlement waits for the live write.
  await infra.db.transaction((tx) => completeOutput(tx, attemptId, log.finish()));
  expect(await storedText()).toBe("all\n");
  hanging.reject(new Error("the connection was cut"));
  await logs.close();
  expect(errors).toHaveLength(1);
});

it("redacts secrets, also one that arrives in two chunks", async () => {
  await using logs = liveLogs();
  const log = logs.open(attempt(MIB, ["correct horse"]));
  log.write(Buffer.from("the word: correct"));
  await expect.poll(() => storedText(), SOON).toBe("the word: ");
  log.write(Buffer.from(" horse; correct"));
  const final = renderOutput(log.finish().pieces).text;
  expect(final).toBe("the word: [redacted]; correct");
});

it("writes the output of many attempts in one transaction", async () => {
  const many = await Promise.all(Array.from({ length: 20 }, runningAttempt));
  let transactions = 0;
  const transaction: Database["transaction"] = (work) => {
    transactions++;
    return infra.db.transaction(work);
  };
  await using logs = liveLogs({ ...infra.db, transaction });
  for (const { attemptId: id } of many) logs.open({ ...attempt(), attemptId: id }).write(Buffer.from(id));
  for (const { attemptId: id } of many) await expect.poll(() => storedText(id), SOON).toBe(id);
  expect(transactions).toBe(1);
});
