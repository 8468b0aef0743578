/** Wraps pg-boss: sends in a transaction, claims, renews, and acknowledges with a fencing token. */
import { type Db, type JobAttempt, PgBoss, type QueueOptions } from "pg-boss";
import { z } from "zod";
import { type Monitor, type Part, withTimeout } from "../lifecycle.ts";
import type { SqlTx } from "../postgres/client.ts";
import { sessionConfig } from "../postgres/session.ts";
import { claimMessages } from "./claim.ts";
import { requireKnownSchema } from "./known-schema.ts";
import {
  ATTEMPT_OPTIONS,
  type attemptMessage,
  attemptQueue,
  COMMON_QUEUES,
  LOST_QUEUE,
  SCHEMA,
} from "./messages.ts";
import { postponement } from "./postponement.ts";
import { publish } from "./signals.ts";
import { startSupervision } from "./supervision.ts";

/**
 * A connection that is silent for this long (ms) is closed. The limit is shorter than elsewhere: a worker renews its
 * claims over these connections, and kills its commands when it cannot renew for 12 s.
 */
const SILENCE_MS = 8_000;

/** A claimed message; `retryCount` is its fencing token. */
export interface Message<T> {
  queueName: string;
  id: string;
  retryCount: number;
  data: T;
  /** As it was sent. */
  group?: string;
  /** When it was claimed or last renewed, in monotonic ms; the claim lasts one heartbeat from then on. */
  claimedAt: number;
}

/** A message to send. The sender chooses the `id` and stores it in its own row. */
export interface NewMessage {
  id: string;
  data: object;
  /** The message cannot be claimed before this time. */
  startAfter?: Date;
  /** Messages of one group can be left out of a claim, and postponed together. */
  group?: string;
}

/** A message that was sent, and the queue that it was sent to. */
export interface SentMessage {
  id: string;
  queueName: string;
}

/** The messages of one group in one queue. */
export interface GroupOfQueue {
  queueName: string;
  group: string;
}

/** The claim is no longer ours: another node has taken the message. Roll back, and drop the result. */
export class ClaimLost extends Error {
  override readonly name = "ClaimLost";
}

/** Waits for work on a claimed message; ignores ClaimLost. */
export async function unlessClaimLost(work: Promise<void>): Promise<void> {
  await work.catch((error: unknown) => {
    if (!(error instanceof ClaimLost)) throw error;
  });
}

/** The queues of pg-boss, which all processes on one database share. */
export interface Queue extends Part {
  /** Starts to take messages from dead holders, to delete old ones and to repair what a step of the clock leaves. */
  supervise(monitor: Monitor): Part;
  /** Creates missing queues of pools. Do not call this in a transaction. */
  openPools(pools: readonly string[]): Promise<void>;
  /** Whether this process knows that the queue of a pool exists. */
  hasPool(pool: string): boolean;
  /** Sends messages in the caller's transaction, and a signal when it commits. */
  send(tx: SqlTx, queueName: string, messages: readonly NewMessage[]): Promise<void>;
  /**
   * Claims up to `count` due messages; in the caller's transaction if there is one.
   * @param without groups whose messages are left where they are
   */
  claim<T>(queueName: string, count: number, tx?: SqlTx, without?: readonly string[]): Promise<Message<T>[]>;
  /** Renews claims in one call; returns the ids that are still ours. */
  renew(queueName: string, messages: readonly JobAttempt[]): Promise<Set<string>>;
  /** Ends messages in the caller's transaction; throws ClaimLost when one of them is no longer ours. */
  acknowledge(tx: SqlTx, ...messages: Message<unknown>[]): Promise<void>;
  /** Gives claimed messages back, to be claimed again. Leaves out those that are no longer ours. */
  putBack(tx: SqlTx, messages: readonly Message<unknown>[]): Promise<void>;
  /** Postpones up to `limit` due messages of a group by `waitMs`, and returns how many. */
  postpone(tx: SqlTx, group: GroupOfQueue, waitMs: number, limit: number): Promise<number>;
  /** Makes up to `limit` postponed messages of a group due, the oldest first, and returns how many. */
  resume(tx: SqlTx, group: GroupOfQueue, limit: number): Promise<number>;
  /** Cancels messages that nobody has claimed. */
  withdraw(tx: SqlTx, queueName: string, ids: readonly string[]): Promise<void>;
  /** Returns the ids of the messages that are queued or claimed, or have a dead letter that waits. */
  liveMessages(tx: SqlTx, messages: readonly SentMessage[]): Promise<Set<string>>;
}

const Response = z.object({ affected: z.number(), settled: z.array(z.string()).nullish() });

/**
 * A message without `startAfter` is due since this time, relative to the clock of the database. With the present time
 * it would have to wait when that clock is set back.
 */
const AT_ONCE = "-1 year";

/** A renewal that takes longer (ms) is abandoned; by then the next one is due. */
const RENEW_LIMIT_MS = 8_000;

/**
 * Starts pg-boss, and creates missing tables and queues. Throws OperatorError when a newer release has used them.
 * @param options `monitor` counts errors of pg-boss' own maintenance
 */
export async function openQueue({
  connectionString,
  pools,
  monitor,
}: {
  connectionString: string;
  pools: readonly string[];
  monitor: Monitor;
}): Promise<Queue> {
  const boss = new PgBoss({
    ...sessionConfig(connectionString, SILENCE_MS),
    schema: SCHEMA,
    max: 4,
    schedule: false,
    // Its timer waits for the wall clock of the node; the part `supervise` has one of its own.
    supervise: false,
    // Shorter than the time between two looks of that part.
    monitorIntervalSeconds: 2,
    maintenanceIntervalSeconds: 60,
  });
  boss.on("error", monitor.failed);
  await requireKnownSchema(sessionConfig(connectionString, SILENCE_MS));
  await boss.start();
  for (const [name, options] of COMMON_QUEUES) await createQueue(boss, name, options);
  const queue = queueOf(boss, monitor);
  await queue.openPools(pools);
  return queue;
}

async function createQueue(boss: PgBoss, name: string, options: QueueOptions): Promise<void> {
  await boss.createQueue(name, options);
  // An earlier release may have created the queue with other options.
  await boss.updateQueue(name, options);
}

function queueOf(boss: PgBoss, monitor: Monitor): Queue {
  const opened = new Set<string>();
  return {
    name: monitor.name,
    stopMs: 1_000,
    health: monitor.health,
    async openPools(pools) {
      for (const pool of pools) {
        if (opened.has(pool)) continue;
        await createQueue(boss, attemptQueue(pool), ATTEMPT_OPTIONS);
        opened.add(pool);
      }
    },
    hasPool: (pool) => opened.has(pool),
    supervise: (supervision) => startSupervision(boss.getDb(), () => boss.supervise(), supervision),
    async send(tx, queueName, messages) {
      if (messages.length === 0) return;
      const rows = messages.map(({ id, data, startAfter = AT_ONCE, group }) => ({
        id,
        data,
        startAfter,
        ...(group && { group: { id: group } }),
      }));
      await boss.insert(queueName, rows, { db: bossDb(tx) });
      const at = Math.min(...messages.map((m) => m.startAfter?.getTime() ?? 0));
      publish(tx, { type: "queue", queue: queueName, ...(at > 0 && { at }) });
    },
    async claim<T>(queueName: string, count: number, tx?: SqlTx, without: readonly string[] = []) {
      const claimedAt = performance.now();
      const rows = await claimMessages<T>(tx ? bossDb(tx) : boss.getDb(), queueName, count, without);
      monitor.succeeded();
      return rows.map(({ id, retryCount, data, groupId }) => ({
        ...{ queueName, id, retryCount, data, claimedAt },
        ...(groupId && { group: groupId }),
      }));
    },
    async renew(queueName, messages) {
      if (messages.length === 0) return new Set();
      const touched = withTimeout(boss.touch(queueName, [...messages]), RENEW_LIMIT_MS, "renewing claims");
      return new Set(Response.parse(await touched).settled ?? []);
    },
    async acknowledge(tx, ...messages) {
      const db = bossDb(tx);
      const completed = [...Map.groupBy(messages, (message) => message.queueName)].map(
        async ([queueName, ofQueue]) => {
          const claims = ofQueue.map(({ id, retryCount }) => ({ id, retryCount }));
          const { settled } = Response.parse(await boss.complete(queueName, claims, null, { db }));
          const lost = claims.find(({ id }) => !settled?.includes(id));
          if (lost !== undefined) throw new ClaimLost(`message ${lost.id} is no longer ours`);
        },
      );
      await Promise.all(completed);
    },
    ...postponement,
    async withdraw(tx, queueName, ids) {
      if (ids.length > 0) await boss.cancel(queueName, [...ids], { db: bossDb(tx) });
    },
    liveMessages: readLiveMessages,
    async stop() {
      await boss.stop({ graceful: false });
      // Connections may still be closing when the embedded server stops. Their errors do not matter.
      boss.removeAllListeners("error").on("error", () => undefined);
    },
  };
}

/** The form in which pg-boss takes a transaction. */
function bossDb(tx: SqlTx): Db {
  return {
    executeSql: async (text, values) => ({ rows: await tx.$queryRawUnsafe(text, ...(values ?? [])) }),
  };
}

/** Reads the table of pg-boss, which has no call for many ids in all queues. Its index begins with the queue. */
async function readLiveMessages(tx: SqlTx, messages: readonly SentMessage[]): Promise<Set<string>> {
  const rows = await tx.$queryRawUnsafe<{ id: string }[]>(
    `SELECT live.id::text FROM unnest($1::text[], $2::uuid[]) AS sent (name, id) CROSS JOIN LATERAL (
       SELECT job.id FROM ${SCHEMA}.job WHERE job.name = sent.name AND job.id = sent.id AND state < 'completed' OFFSET 0
     ) AS live
     UNION ALL SELECT data->>'message_id' FROM ${SCHEMA}.job WHERE name = $3 AND state < 'completed'`,
    messages.map(({ queueName }) => queueName),
    messages.map(({ id }) => id),
    LOST_QUEUE,
  );
  return new Set(rows.map((row) => row.id));
}

/**
 * Returns those of `items` whose message is gone, or that have none.
 * @param messageOf the message that an item was sent
 */
export async function withoutLiveMessage<Item>(
  queue: Queue,
  tx: SqlTx,
  items: readonly Item[],
  messageOf: (item: Item) => SentMessage | undefined,
): Promise<Item[]> {
  const sent = items.flatMap((item) => messageOf(item) ?? []);
  const live = sent.length === 0 ? new Set<string>() : await queue.liveMessages(tx, sent);
  return items.filter((item) => !live.has(messageOf(item)?.id ?? ""));
}

/** Sends the messages of attempts, with one call for each pool. */
export async function sendAttempts(
  queue: Queue,
  tx: SqlTx,
  messages: readonly ReturnType<typeof attemptMessage>[],
): Promise<void> {
  const pools = Map.groupBy(messages, (message) => message.pool);
  await Promise.all([...pools].map(([pool, ofPool]) => queue.send(tx, attemptQueue(pool), ofPool)));
}
