/** Postpones the waiting deliveries of a host that is down, and makes them due again; many in one statement. */
import type { Infra } from "../infra.ts";
import { DELIVERY_QUEUE } from "../queue/messages.ts";
import type { Errand } from "./busy-hosts.ts";

/**
 * How long (ms) deliveries are postponed. Whoever sees the host answer makes them due earlier. If no process lives to
 * see it, they become due by themselves.
 */
const HOLD_MS = 120_000;
/** The most deliveries in one transaction. */
const DELIVERIES_AT_ONCE = 5_000;

/**
 * Runs an errand, and returns how many deliveries it has changed. It changes the messages of the deliveries only: a postponed delivery keeps its tries and the time of
 * its next try.
 */
export async function tendBacklog({ db, queue }: Infra, { host, task, most }: Errand): Promise<number> {
  const group = { queueName: DELIVERY_QUEUE, group: host };
  let total = 0;
  for (;;) {
    const limit = Math.min(most - total, DELIVERIES_AT_ONCE);
    const changed = await db.sqlTransaction((tx) =>
      task === "hold" ? queue.postpone(tx, group, HOLD_MS, limit) : queue.resume(tx, group, limit),
    );
    total += changed;
    if (changed < limit || total === most) return total;
  }
}
