/** Records tries of deliveries and plans the next ones, or puts deliveries back; many in one transaction. */
import type { Infra } from "../infra.ts";
import type { SqlTx } from "../postgres/client.ts";
import { createBatches, type InTransaction, type Outcome } from "../postgres/coalescer.ts";
import { newId } from "../postgres/ids.ts";
import { DELIVERY_QUEUE, deliveryMessage } from "../queue/messages.ts";
import { publish } from "../queue/signals.ts";
import type { ClaimedDelivery } from "./claim.ts";
import { hostOf } from "./rules/host.ts";
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

/** Gives a claimed delivery back without a try; it stays due. */
export function putBackDelivery(infra: Infra, delivery: ClaimedDelivery): Promise<void> {
  return closeInBatch(infra, { delivery });
}

/** Records a try and plans the next one. Throws ClaimLost and changes nothing when another node has the delivery. */
export function closeDelivery(
  infra: Infra,
  delivery: ClaimedDelivery,
  made: TryResult,
  { random, delaysMs }: RetryTiming,
): Promise<void> {
  const tries = delivery.tries + 1;
  const waitMs =
    made.result === "failed" ? deliveryDelayMs(tries - delivery.earlierTries, random(), delaysMs) : undefined;
  const state = waitMs === undefined ? made.result : "pending";
  const nextTryAt = waitMs === undefined ? null : new Date(delivery.now().getTime() + waitMs);
  const messageId = nextTryAt && newId();
  return closeInBatch(infra, { delivery, closed: { made, tries, state, nextTryAt, messageId } });
}

/** A claimed delivery to close: after a try, or without one. */
interface Closing {
  delivery: ClaimedDelivery;
  closed?: ClosedDelivery;
}

/** A delivery as it will be, and its try. */
interface ClosedDelivery {
  made: TryResult;
  tries: number;
  state: "pending" | TryResult["result"];
  nextTryAt: Date | null;
  /** The message for the next try. */
  messageId: string | null;
}

/** The most deliveries in one transaction. */
const DELIVERIES_AT_ONCE = 128;

const closeInBatch = createBatches(closeAll, DELIVERIES_AT_ONCE);

async function closeAll(
  { queue }: Infra,
  items: readonly Closing[],
  inTransaction: InTransaction,
): Promise<Outcome<void>[]> {
  const tried = items.flatMap(({ delivery, closed }) => (closed ? [{ delivery, ...closed }] : []));
  const untried = items.flatMap(({ delivery, closed }) =>
    // An earlier release sent messages without a group.
    closed ? [] : [{ ...delivery.message, group: hostOf(delivery.url) }],
  );
  await inTransaction(async (tx) => {
    await Promise.all([
      updateAll(tx, tried),
      queue.acknowledge(tx, ...tried.map(({ delivery }) => delivery.message)),
      queue.putBack(tx, untried),
      queue.send(
        tx,
        DELIVERY_QUEUE,
        tried.flatMap(({ delivery: { id, url }, messageId, nextTryAt }) =>
          messageId && nextTryAt ? deliveryMessage({ id, host: hostOf(url) }, messageId, nextTryAt) : [],
        ),
      ),
    ]);
    for (const { runId } of tried.map(({ delivery }) => delivery)) {
      publish(tx, { type: "run_changed", run: runId });
    }
  });
  return items.map(() => ({ value: undefined }));
}

/**
 * Writes deliveries and their tries. A delivery that has been cancelled or sent again meanwhile has another message and
 * is left out. Only a pending delivery has a message; a condition on the state would let Postgres read all that are
 * pending. The message of its next try is sent all the same, and whoever claims it finds that it is stale.
 */
async function updateAll(
  tx: SqlTx,
  tried: readonly (ClosedDelivery & { delivery: ClaimedDelivery })[],
): Promise<void> {
  if (tried.length === 0) return;
  const rows = tried
    .map(({ delivery: { id, message }, made, tries, state, nextTryAt, messageId }) => ({
      ...{ ...made, id, claimed: message.id, tries, state, nextTryAt, messageId },
    }))
    // Whoever locks several deliveries locks them in this order.
    .sort((a, b) => (a.id < b.id ? -1 : 1));
  await tx.$executeRaw`
    WITH made AS MATERIALIZED (
      SELECT * FROM json_to_recordset(${JSON.stringify(rows)}::json) AS made (id uuid, claimed uuid, tries int,
        state delivery_state, "nextTryAt" timestamptz, "messageId" uuid, "startedAt" timestamptz, "durationMs" int,
        status int, error text, response text)
    ), closed AS (
      UPDATE delivery SET state = made.state, tries = made.tries, message_id = made."messageId",
        next_try_at = made."nextTryAt", finished_at = CASE WHEN made.state <> 'pending' THEN now() END
      FROM made
      WHERE delivery.id = ANY(${rows.map(({ id }) => id)}::uuid[]) AND delivery.id = made.id
        AND delivery.message_id = made.claimed
      RETURNING delivery.id
    )
    INSERT INTO delivery_try (delivery_id, number, started_at, duration_ms, status, error, response)
    SELECT id, made.tries, "startedAt", "durationMs", status, error, response FROM made JOIN closed USING (id)`;
}
