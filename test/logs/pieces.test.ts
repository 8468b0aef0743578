/** Tests of an attempt's final output: what its worker kept, or what a lost worker had stored before. */
import { afterAll, beforeAll, expect, it } from "vitest";
import { thawBody } from "../../src/deliveries/rules/payloads.ts";
import { completeOutput, writeLive } from "../../src/logs/pieces.ts";
import { wholeOutput } from "../../src/logs/rules/output.ts";
import { type AttemptMessage, attemptQueue, LOST_QUEUE } from "../../src/queue/messages.ts";
import type { Message } from "../../src/queue/queue.ts";
import { readRun } from "../../src/runs/read.ts";
import { recoverRuns, settleLost } from "../../src/runs/recover.ts";
import { settleAttempt } from "../../src/runs/settle.ts";
import { startAttempt } from "../../src/runs/start.ts";
import { triggerRun } from "../../src/runs/trigger-by-caller.ts";
import { putJob } from "../../src/schedules/save-job.ts";
import { jobDefinition } from "../support/job-definition.ts";
import { storedPieces } from "../support/stored-pieces.ts";
import { ADMINISTRATOR, failAtOnce, type TestInfra, testInfra } from "../support/test-infra.ts";

let infra: TestInfra;
beforeAll(async () => {
  infra = await testInfra();
  const actions = [{ event: "on_error", action: "notify_webhook", target: "https://example.org/" } as const];
  await putJob(infra, ADMINISTRATOR, jobDefinition({ actions, logLimitBytes: 4_096 }));
}, 30_000);
afterAll(() => infra?.[Symbol.asyncDispose]());

async function claim(queue: string): Promise<Message<AttemptMessage>> {
  const [message] = await infra.queue.claim<AttemptMessage>(queue, 1);
  if (message === undefined) throw new Error(`nothing to claim in ${queue}`);
  return message;
}

async function startClaimed() {
  const { id } = await triggerRun(infra, ADMINISTRATOR, { job: "job" });
  const message = await claim(attemptQueue("default"));
  const order = await startAttempt(infra, message, "worker");
  return { id, message, attemptId: String(order?.attemptId), logLimitBytes: order?.logLimitBytes };
}

const piece = (position: number, text: string) => ({ position, bytes: Buffer.from(text) });
const bodyOf = async (runId: string) =>
  thawBody((await infra.db.prisma.runEvent.findFirstOrThrow({ where: { runId } })).body);

it("is the stored output when the worker is lost", async () => {
  const { id, attemptId } = await startClaimed();
  const pieces = [piece(0, "head"), piece(10, "end")];
  await infra.db.transaction((tx) => writeLive(tx, [{ attemptId, pieces, dropped: [] }]));
  await infra.db.prisma.$executeRaw`DELETE FROM pgboss.job`;
  await recoverRuns(infra);
  await settleLost(infra, await claim(LOST_QUEUE), infra, failAtOnce);
  const log = "head\n... 6 bytes omitted ...\nend";
  expect(await bodyOf(id)).toMatchObject({ status: -1, log, log_truncated: true });
  expect(await readRun(infra.db, ADMINISTRATOR, id)).toMatchObject({ log, omittedBytes: 6 });
  // A worker that comes back can write no more.
  const late = { attemptId, pieces: [piece(13, "late")], dropped: [0] };
  expect(await infra.db.transaction((tx) => writeLive(tx, [late]))).toEqual([]);
  expect((await readRun(infra.db, ADMINISTRATOR, id)).log).toBe(log);
});

it("is the output that the worker kept, whatever was stored before", async () => {
  const { id, message, attemptId, logLimitBytes } = await startClaimed();
  expect(logLimitBytes).toBe(4_096);
  const pieces = [piece(0, "he"), piece(7, "?"), piece(9, "no")];
  await infra.db.transaction((tx) => writeLive(tx, [{ attemptId, pieces, dropped: [] }]));
  const missing = [piece(2, "ad"), piece(9, "end")];
  const output = { pieces: [piece(0, "head"), piece(9, "end")], stored: [0], missing };
  await settleAttempt(infra, message, { outcome: { state: "failed", status: 1 }, output }, infra);
  const log = "head\n... 5 bytes omitted ...\nend";
  expect(await bodyOf(id)).toMatchObject({ status: 1, log, log_truncated: true });
  const stored = await storedPieces(infra.db.prisma, attemptId);
  expect(stored.map(({ position, bytes }) => [position, Buffer.from(bytes).toString()])).toEqual([
    [0, "he"],
    [2, "ad"],
    [9, "end"],
  ]);
});

it("costs no query when it is empty", async () => {
  const { attemptId } = await startClaimed();
  let queries = 0;
  const tx = {
    $executeRaw: async () => {
      queries++;
    },
  } as unknown as typeof infra.db.prisma;
  await completeOutput(tx, attemptId, wholeOutput(new Uint8Array()));
  expect(queries).toBe(0);
  await completeOutput(tx, attemptId, wholeOutput(Buffer.from("x")));
  expect(queries).toBe(1);
});
