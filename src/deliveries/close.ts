/** Records tries of deliveries and plans the next ones, or postpones deliveries; many in one transaction. */
import type { Infra } from "../infra.ts";
import { databaseNow, type SqlTx } from "../postgres/client.ts";
import { createBatches, type InTransaction, type Outcome } from "../postgres/coalescer.ts";
import { newId } from "../postgres/ids.ts";
import { DELIVERY_QUEUE, type DeliveryMessage, deliveryMessage } from "../queue/messages.ts";
import type { Message } from "../queue/queue.ts";
import { publish } from "../queue/signals.ts";
import { deliveryDelayMs } from "./rules/retry-schedule.ts";

/** The result of a try; `blocked`: the guard refused the address. */
export interface TryResult {
  result: "delivered" | "failed" | "blocked";
  startedAt: Date;
  durationMs: number;
  status: number | null;
  error: string | null;
  response: string | null;
}

/** What decides when a failed delivery is tried again. */
export interface RetryTiming {
  /** A number in [0, 1), which places a wait within its jitter. */
  random: () => number;
  /** The waits between tries, in ms, before jitter. */
  delaysMs: readonly number[];
}

/** Puts a claimed delivery back for `waitMs` without a try. Throws ClaimLost when another node has it. */
export function postponeDelivery(
  infra: Infra,
  message: Message<DeliveryMessage>,
  waitMs: number,
): Promise<void> {
  return closeInBatch(infra, { message, waitMs });
}

/** Records a try and plans the next one. Throws ClaimLost and changes nothing when another node has the delivery. */
export function closeDelivery(
  infra: Infra,
  message: Message<DeliveryMessage>,
  made: TryResult,
  { random, delaysMs }: RetryTiming,
): Promise<void> {
  return closeInBatch(infra, { message, made, random: random(), delaysMs });
}

/** A claimed delivery to close: after a try, or without one. */
type Closing = { message: Message<DeliveryMessage> } & (
  | { made: TryResult; random: number; delaysMs: readonly number[] }
  | { waitMs: number }
);

/** The most deliveries in one transaction. */
const DELIVERIES_AT_ONCE = 128;

const closeInBatch = createBatches(closeAll, DELIVERIES_AT_ONCE);

async function closeAll(
  { queue }: Infra,
  items: readonly Closing[],
  inTransaction: InTransaction,
): Promise<Outcome<void>[]> {
  await inTransaction(async (tx) => {
    const ids = items.map(({ message }) => message.data.delivery_id);
    const [, rows, now] = await Promise.all([lockAll(tx, ids), readAll(tx, ids), databaseNow(tx)]);
    const open = new Map(rows.map((row) => [row.messageId, row]));
    // A delivery that has been cancelled or sent again meanwhile is left out; its message is acknowledged.
    const closed = items.flatMap((item) => {
      const row = open.get(item.message.id);
      return row === undefined ? [] : [closedDelivery(item, row, now)];
    });
    await Promise.all([
      queue.acknowledge(tx, ...items.map(({ message }) => message)),
      insertTries(tx, closed),
      updateAll(tx, closed),
      queue.send(
        tx,
        DELIVERY_QUEUE,
        closed.flatMap(({ next }) => next ?? []),
      ),
    ]);
    for (const { made, runId } of closed) if (made) publish(tx, { type: "run_changed", run: runId });
  });
  return items.map(() => ({ value: undefined }));
}

interface OpenDelivery {
  id: string;
  messageId: string;
  tries: number;
  earlierTries: number;
  runId: string;
}

async function lockAll(tx: SqlTx, ids: readonly string[]): Promise<void> {
  await tx.$queryRaw`SELECT id FROM delivery WHERE id = ANY(${[...ids]}::uuid[]) ORDER BY id FOR UPDATE`;
}

/** Reads the pending ones of locked deliveries. */
function readAll(tx: SqlTx, ids: readonly string[]): Promise<OpenDelivery[]> {
  return tx.$queryRaw`
    SELECT d.id, d.message_id AS "messageId", d.tries, d.earlier_tries AS "earlierTries", e.run_id AS "runId"
    FROM delivery d JOIN run_event e ON e.id = d.event_id
    WHERE d.id = ANY(${[...ids]}::uuid[]) AND d.state = 'pending' AND d.message_id IS NOT NULL`;
}

/** A delivery as it will be, and its try if there was one. */
interface ClosedDelivery {
  id: string;
  runId: string;
  state: "pending" | TryResult["result"];
  tries: number;
  made?: TryResult;
  /** The message for the next try. */
  next?: ReturnType<typeof deliveryMessage>;
  nextTryAt: Date | null;
  finishedAt: Date | null;
}

function closedDelivery(item: Closing, row: OpenDelivery, now: Date): ClosedDelivery {
  const { id, runId } = row;
  const pending = (waitMs: number) => {
    const nextTryAt = new Date(now.getTime() + waitMs);
    const next = deliveryMessage(id, newId(), nextTryAt);
    return { state: "pending", next, nextTryAt, finishedAt: null } as const;
  };
  if ("waitMs" in item) return { id, runId, tries: row.tries, ...pending(item.waitMs) };
  const { made, random, delaysMs } = item;
  const tries = row.tries + 1;
  const delay =
    made.result === "failed" ? deliveryDelayMs(tries - row.earlierTries, random, delaysMs) : undefined;
  if (delay !== undefined) return { id, runId, tries, made, ...pending(delay) };
  return { id, runId, tries, made, state: made.result, nextTryAt: null, finishedAt: now };
}

async function insertTries(tx: SqlTx, closed: readonly ClosedDelivery[]): Promise<void> {
  const rows = closed.flatMap(({ id: deliveryId, tries: number, made }) =>
    made ? [{ deliveryId, number, ...made }] : [],
  );
  if (rows.length === 0) return;
  await tx.$executeRaw`
    INSERT INTO delivery_try (delivery_id, number, started_at, duration_ms, status, error, response)
    SELECT "deliveryId", number, "startedAt", "durationMs", status, error, response
    FROM json_to_recordset(${JSON.stringify(rows)}::json) AS made ("deliveryId" uuid, number int,
      "startedAt" timestamptz, "durationMs" int, status int, error text, response text)`;
}

async function updateAll(tx: SqlTx, closed: readonly ClosedDelivery[]): Promise<void> {
  const rows = closed.map(({ id, state, tries, next, nextTryAt, finishedAt }) => {
    return { id, state, tries, messageId: next?.id ?? null, nextTryAt, finishedAt };
  });
  if (rows.length === 0) return;
  await tx.$executeRaw`
    UPDATE delivery SET state = closed.state, tries = closed.tries, message_id = closed."messageId",
      next_try_at = closed."nextTryAt", finished_at = closed."finishedAt"
    FROM json_to_recordset(${JSON.stringify(rows)}::json) AS closed (id uuid, state delivery_state, tries int,
      "messageId" uuid, "nextTryAt" timestamptz, "finishedAt" timestamptz)
    WHERE delivery.id = closed.id`;
}
