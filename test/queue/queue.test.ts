/** Tests of the queue on a real Postgres: transactions, fenced acknowledgement, and live messages. */
import { randomUUID } from "node:crypto";
import { PgBoss } from "pg-boss";
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import { attemptQueue, DELIVERY_QUEUE } from "../../src/queue/messages.ts";
import { ClaimLost, openQueue } from "../../src/queue/queue.ts";
import { startCutProxy } from "../support/cut-proxy.ts";
import { freshDatabase } from "../support/fresh-database.ts";
import { execute } from "../support/postgres-server.ts";
import { type TestInfra, testInfra } from "../support/test-infra.ts";
import { testMonitor } from "../support/test-monitor.ts";

const QUEUE = attemptQueue("default");
let infra: TestInfra;
let id: string;
beforeAll(async () => {
  infra = await testInfra();
}, 30_000);
afterAll(() => infra?.[Symbol.asyncDispose]());
beforeEach(() => {
  id = randomUUID();
});

const send = (queue = QUEUE, startAfter?: Date) =>
  infra.db.transaction((tx) => {
    return infra.queue.send(tx, queue, [{ id, data: { message_id: id }, ...(startAfter && { startAfter }) }]);
  });

it("sends a message with the commit of the transaction, and none after a rollback", async () => {
  const rolledBack = infra.db.transaction(async (tx) => {
    await infra.queue.send(tx, QUEUE, [{ id, data: { message_id: id } }]);
    throw new Error("rolled back");
  });
  await expect(rolledBack).rejects.toThrow("rolled back");
  expect(await infra.queue.claim(QUEUE, 10)).toEqual([]);

  await send();
  const [message] = await infra.queue.claim(QUEUE, 10);
  expect(message).toMatchObject({ queueName: QUEUE, id, data: { message_id: id } });
  expect(await infra.queue.claim(QUEUE, 10)).toEqual([]);
});

it("delivers a message no earlier than its time", async () => {
  await send(DELIVERY_QUEUE, new Date(Date.now() + 60_000));
  expect(await infra.queue.claim(DELIVERY_QUEUE, 10)).toEqual([]);
});

it("lets a claim be acknowledged once, and rolls back the transaction of a second acknowledgement", async () => {
  await send();
  const [message] = await infra.queue.claim(QUEUE, 1);
  if (message === undefined) throw new Error("nothing was claimed");
  const acknowledge = () =>
    infra.db.transaction(async (tx) => {
      await tx.schedule.create({ data: { name: `made with ${randomUUID()}` } });
      await infra.queue.acknowledge(tx, message);
    });
  await acknowledge();
  await expect(acknowledge()).rejects.toThrow(ClaimLost);
  expect(await infra.db.prisma.schedule.count()).toBe(1);
});

it("refuses to acknowledge a claim whose fence is outdated", async () => {
  await send();
  const [message] = await infra.queue.claim(QUEUE, 1);
  if (message === undefined) throw new Error("nothing was claimed");
  const stale = { ...message, retryCount: message.retryCount + 1 };
  await expect(infra.db.transaction((tx) => infra.queue.acknowledge(tx, stale))).rejects.toThrow(ClaimLost);
  expect(await infra.queue.renew(QUEUE, [stale])).toEqual(new Set());
  expect(await infra.queue.renew(QUEUE, [message])).toEqual(new Set([id]));
});

it("counts queued and claimed messages as live, but not ended or withdrawn ones", async () => {
  const living = () =>
    infra.queue.liveMessages(
      infra.db.prisma,
      [id, randomUUID()].map((one) => ({ id: one, queueName: QUEUE })),
    );
  await send();
  expect(await living()).toEqual(new Set([id]));
  const [message] = await infra.queue.claim(QUEUE, 1);
  expect(await living()).toEqual(new Set([id]));
  await infra.db.transaction((tx) => infra.queue.acknowledge(tx, message ?? fail()));
  expect(await living()).toEqual(new Set());

  id = randomUUID();
  await send();
  await infra.db.transaction((tx) => infra.queue.withdraw(tx, QUEUE, [id]));
  expect(await living()).toEqual(new Set());
  expect(await infra.queue.claim(QUEUE, 1)).toEqual([]);
});

it("reports no errors after its stop, even when the server ends before the connections are closed", async () => {
  const openSockets = () =>
    process.getActiveResourcesInfo().filter((kind) => kind === "TCPSocketWrap").length;
  const before = openSockets();
  await using database = await freshDatabase();
  await using proxy = await startCutProxy(database.connectionString);
  const errors: Error[] = [];
  const queue = await openQueue({
    connectionString: proxy.connectionString,
    pools: [],
    monitor: testMonitor((error) => void errors.push(error)),
  });
  proxy.hideEnds();
  await queue.stop();
  await database.drop();
  await expect.poll(openSockets).toBeLessThanOrEqual(before);
  expect(errors.map(({ message }) => message)).toEqual([]);
});

it("refuses tables of a newer pg-boss, and does not touch them", async () => {
  await using database = await freshDatabase();
  const { connectionString } = database;
  const versions = () => execute(connectionString, "SELECT version FROM pgboss.version");
  await execute(connectionString, "UPDATE pgboss.version SET version = version + 1");
  const newer = await versions();
  const queues = () => execute(connectionString, "SELECT name FROM pgboss.queue");
  const before = await queues();
  await expect(openQueue({ connectionString, pools: ["new"], monitor: testMonitor() })).rejects.toThrow(
    /^The queue's schema pgboss in the database has version \d+, .* a newer release has used the database/,
  );
  expect(await versions()).toEqual(newer);
  expect(await queues()).toEqual(before);
});

function fail(): never {
  throw new Error("nothing was claimed");
}

it("claims as pg-boss does: the same message gets the same columns", async () => {
  const { connectionString } = infra;
  const boss = new PgBoss({ connectionString, schema: "pgboss", supervise: false, schedule: false });
  boss.on("error", (error) => expect.unreachable(error.message));
  await boss.start();
  const rowAfter = async (claim: () => Promise<{ id: string }[]>) => {
    id = randomUUID();
    await send();
    expect((await claim()).map((message) => message.id)).toEqual([id]);
    const [row] = await infra.db.prisma.$queryRaw<{ row: object }[]>`
      SELECT to_jsonb(job) - ARRAY['id', 'data', 'created_on', 'start_after', 'started_on', 'heartbeat_on',
        'keep_until']
        || jsonb_build_object('started', started_on >= created_on, 'beats', heartbeat_on = started_on) AS row
      FROM pgboss.job WHERE id = ${id}::uuid`;
    return row;
  };
  try {
    const ours = await rowAfter(() => infra.queue.claim(QUEUE, 10));
    expect(ours).toMatchObject({ row: { state: "active", retry_count: 0, started: true, beats: true } });
    expect(await rowAfter(() => boss.fetch(QUEUE, { batchSize: 10 }))).toEqual(ours);
  } finally {
    await boss.stop({ graceful: false });
  }
});
