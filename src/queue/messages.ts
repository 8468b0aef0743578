/** The queues and their messages: contents, pg-boss options, and how long a claim lasts. */
import type { QueueOptions } from "pg-boss";

/** The schema of pg-boss. */
export const SCHEMA = "pgboss";

/**
 * The message for the next try of a delivery. Any node may claim it, at once or after `startAfter`.
 * @param host of its receiver; the messages of one host are a group
 */
export function deliveryMessage(
  delivery: { id: string; host: string },
  messageId: string,
  startAfter?: Date,
) {
  return {
    id: messageId,
    data: { delivery_id: delivery.id, message_id: messageId },
    group: delivery.host,
    ...(startAfter && { startAfter }),
  };
}

/** Messages carry ids only; the tables are the truth. */
export interface AttemptMessage {
  run_id: string;
  /** The id of this message. Its dead letter is another message with the same data. */
  message_id: string;
}
export interface DeliveryMessage {
  delivery_id: string;
  message_id: string;
}

/** The dead-letter queue of attempts whose workers stopped renewing their claims. */
export const LOST_QUEUE = "lost";
export const DELIVERY_QUEUE = "delivery";

/** The queue of a pool of workers. */
export function attemptQueue(pool: string): string {
  return `attempt.${pool}`;
}

/** Seconds without a heartbeat after which pg-boss takes an attempt from its worker. */
export const HEARTBEAT_SECONDS = 15;
/** How often a worker renews its claims: several times during one heartbeat. */
export const RENEW_EVERY_MS = 4_000;
/** A worker that cannot renew a claim for this long kills its command, before another worker can take over. */
export const RENEW_DEADLINE_MS = 12_000;

/**
 * How long (ms) a claim still lasts; 0 or less: it has ended.
 * @param since when it was made or last renewed, in monotonic ms
 */
export function claimTimeLeftMs(since: number): number {
  return since + RENEW_DEADLINE_MS - performance.now();
}

/** Queued messages practically never expire. Finished ones are deleted, since our own tables hold the history. */
const RETENTION = { retentionSeconds: 10 * 365 * 86_400, deleteAfterSeconds: 60 };
/** For work that any node may repeat. */
const REPEATABLE = { ...RETENTION, retryLimit: 1_000, expireInSeconds: 60 };

/** The queues that always exist. The queues of attempts refer to the dead-letter queue, so it is created first. */
export const COMMON_QUEUES: readonly (readonly [name: string, options: QueueOptions])[] = [
  [LOST_QUEUE, REPEATABLE],
  [DELIVERY_QUEUE, REPEATABLE],
];

/** The pg-boss options of the queue of a pool. */
export const ATTEMPT_OPTIONS: QueueOptions & { deadLetter: string } = {
  ...RETENTION,
  retryLimit: 0,
  heartbeatSeconds: HEARTBEAT_SECONDS,
  expireInSeconds: 86_400,
  deadLetter: LOST_QUEUE,
};

/** The message for the next attempt of a run. A worker of its pool may claim it, at once or after `startAfter`. */
export function attemptMessage(run: { id: string; pool: string }, messageId: string, startAfter?: Date) {
  const data: AttemptMessage = { run_id: run.id, message_id: messageId };
  return { pool: run.pool, id: messageId, data, ...(startAfter && { startAfter }) };
}
