/** Tests of the last lines of an output that grows while it is read. */
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import { type LogPart, logPart, readLog } from "../../src/logs/follow.ts";
import { createLogReader, type LogReader } from "../../src/logs/reader.ts";
import { findTail } from "../../src/logs/tail.ts";
import { saveJob, saveRun } from "../support/old-runs.ts";
import { type TestInfra, testInfra } from "../support/test-infra.ts";

const RUNNING = { closing: new AbortController().signal };

let infra: TestInfra;
let reader: LogReader;
let runId: string;
let first: string;
beforeAll(async () => {
  infra = await testInfra();
  reader = createLogReader(infra, RUNNING);
}, 30_000);
afterAll(() => infra?.[Symbol.asyncDispose]());
beforeEach(async () => {
  const job = await saveJob(infra.db.prisma, {});
  runId = (await saveRun(infra.db.prisma, job, { endedDaysAgo: null })).id;
  first = (await infra.db.prisma.attempt.findFirstOrThrow({ where: { runId } })).id;
  await infra.db.prisma.attemptLog.deleteMany({ where: { attemptId: first } });
});

async function print(attemptId: string, position: number, text: string | Buffer): Promise<void> {
  await infra.db.prisma.attemptLog.create({ data: { attemptId, position, bytes: Buffer.from(text) } });
}

async function addAttempt(): Promise<string> {
  const number = await infra.db.prisma.attempt.count({ where: { runId } });
  // Attempts are in the order of their ids.
  const id = `ffffffff-ffff-7fff-8000-${runId.slice(-11)}${number}`;
  await infra.db.prisma.$executeRaw`
    INSERT INTO attempt SELECT (jsonb_populate_record(a, jsonb_build_object('id', ${id}::uuid, 'number', ${number}::int,
      'state', 'running'))).* FROM attempt a WHERE id = ${first}::uuid`;
  return id;
}

async function read(part: LogPart): Promise<string> {
  let text = "";
  for await (const step of readLog(reader, runId, part)) if (step.kind === "output") text += step.text;
  return text;
}

const tail = async (lines: number, attempt?: "all") =>
  findTail(infra.db, reader, runId, await logPart(reader, runId, attempt), lines);

it("ends where the output ended when its last lines were found", async () => {
  await infra.db.prisma.attempt.update({ where: { id: first }, data: { state: "running" } });
  await print(first, 0, "one\ntwo\nthr");
  const [two, none, all] = [await tail(2), await tail(0), await tail(9)];
  await print(first, 11, "ee\nfour\nfive\n");
  expect(await read({ last: undefined, ...two })).toBe("two\nthr");
  expect(await read({ last: undefined, ...none })).toBe("");
  expect(await read({ last: undefined, ...all })).toBe("one\ntwo\nthr");
  expect(await read({ last: undefined, ...(await tail(2)) })).toBe("four\nfive\n");
});

it("leaves out a character whose end came afterwards", async () => {
  const bytes = Buffer.from("one\ntwo €\n");
  await infra.db.prisma.attempt.update({ where: { id: first }, data: { state: "running" } });
  await print(first, 0, bytes.subarray(0, 9));
  const one = await tail(1);
  await print(first, 9, bytes.subarray(9));
  await infra.db.prisma.attempt.update({ where: { id: first }, data: { state: "failed" } });
  expect(await read({ last: undefined, ...one })).toBe("two ");
});

it("reads no attempt that began afterwards, and all of those before", async () => {
  await infra.db.prisma.attempt.update({ where: { id: first }, data: { state: "failed" } });
  await print(first, 0, "a\nb\n");
  const second = await addAttempt();
  await print(second, 0, "c\n");
  const [two, latest] = [await tail(2, "all"), await tail(5)];
  await print(second, 2, "d\n");
  await infra.db.prisma.attempt.update({ where: { id: second }, data: { state: "failed" } });
  await print(await addAttempt(), 0, "e\n");
  expect(await read({ last: undefined, ...two })).toBe("b\nc\n");
  expect(await read({ last: undefined, ...latest })).toBe("c\n");
  expect(await read({ last: undefined, ...(await tail(3, "all")) })).toBe("c\nd\ne\n");
});

it("counts each state of a progress bar as a line, and CR LF as one end", async () => {
  await print(first, 0, "start\r\n10%\r20%\r30%\r\ndone");
  expect(await read({ last: undefined, ...(await tail(3)) })).toBe("20%\r30%\r\ndone");
});

it("never answers more lines because something was left out", async () => {
  await print(first, 0, "a\nb\n");
  await print(first, 100, "c\nd\n");
  const shown = ["", "d\n", "c\nd\n", "c\nd\n", "c\nd\n"];
  for (const [lines, text] of shown.entries()) {
    expect(await read({ last: undefined, ...(await tail(lines)) })).toBe(text);
  }
  expect(await read({ last: undefined, ...(await tail(5)) })).toBe("b\n\n... 96 bytes omitted ...\nc\nd\n");
});
