/** The queues and their messages: what each carries, how pg-boss treats it, and how long a claim is good. */
import type { QueueOptions } from "pg-boss";

/** The message that lets any node make the next try of a delivery, now or from a time on. */
export function deliveryMessage(deliveryId: string, messageId: string, startAfter?: Date) {
  return {
    id: messageId,
    data: { delivery_id: deliveryId, message_id: messageId },
    ...(startAfter && { startAfter }),
  };
}

/** Messages carry ids only; the tables are the truth. */
export interface AttemptMessage {
  run_id: string;
  /** The message's own id: its dead letter is another message with the same data. */
  message_id: string;
}
export interface DeliveryMessage {
  delivery_id: string;
  message_id: string;
}

/** Where the messages of attempts go whose worker fell silent. */
export const LOST_QUEUE = "lost";
export const DELIVERY_QUEUE = "delivery";

/** The queue that the workers of one pool claim from. */
export function attemptQueue(pool: string): string {
  return `attempt.${pool}`;
}

/** Seconds without a heartbeat after which pg-boss takes an attempt from its worker. */
export const HEARTBEAT_SECONDS = 15;
/** How often a worker renews its claims; several fit into the heartbeat. */
export const RENEW_EVERY_MS = 4_000;
/** A worker that could not renew for so long kills its commands: before another may take over. */
export const RENEW_DEADLINE_MS = 12_000;

/**
 * How long a claim may be worked on that was made or renewed by a call begun at `since` (monotonic ms): in ms, and
 * not above 0 when it is over.
 */
export function leftOf(since: number): number {
  return since + RENEW_DEADLINE_MS - performance.now();
}

/** Queued messages never expire, finished ones are of no use: the history is ours. */
const KEPT = { retentionSeconds: 10 * 365 * 86_400, deleteAfterSeconds: 60 };
/** Work that any node may simply do again. */
const REPEATABLE = { ...KEPT, retryLimit: 1_000, expireInSeconds: 60 };

/** The queues that there are in any case; those of attempts name one of them. */
export const COMMON_QUEUES: readonly (readonly [name: string, options: QueueOptions])[] = [
  [LOST_QUEUE, REPEATABLE],
  [DELIVERY_QUEUE, REPEATABLE],
];

/** How the queue of a pool is treated. */
export const ATTEMPT_OPTIONS: QueueOptions & { deadLetter: string } = {
  ...KEPT,
  retryLimit: 0,
  heartbeatSeconds: HEARTBEAT_SECONDS,
  expireInSeconds: 86_400,
  deadLetter: LOST_QUEUE,
};

/** The message that lets a worker of the run's pool start its next attempt, now or from a time on. */
export function attemptMessage(run: { id: string; pool: string }, messageId: string, startAfter?: Date) {
  const data: AttemptMessage = { run_id: run.id, message_id: messageId };
  return { pool: run.pool, id: messageId, data, ...(startAfter && { startAfter }) };
}
