/** Gives claimed messages back and postpones messages in groups, for which pg-boss has no calls. */
import type { SqlTx } from "../postgres/client.ts";
import { SCHEMA } from "./messages.ts";
import type { Queue } from "./queue.ts";
import { publish } from "./signals.ts";

/** A postponed message has this priority, by which it is found again. Others have 0, and are claimed first. */
const POSTPONED = -1;

/** These verbs write to the table of pg-boss. They never change a message that somebody has claimed. */
export const postponement: Pick<Queue, "putBack" | "postpone" | "resume"> = {
  async putBack(tx, messages) {
    if (messages.length === 0) return;
    // As in pg-boss, the next claim counts up `retry_count`, so the fence tells it from this one.
    await tx.$queryRawUnsafe(
      `UPDATE ${SCHEMA}.job SET state = 'retry', group_id = coalesce(job.group_id, claim.group_id)
       FROM unnest($1::text[], $2::uuid[], $3::int[], $4::text[]) AS claim (name, id, count, group_id)
       WHERE job.id = ANY ($2::uuid[]) AND job.name = claim.name AND job.id = claim.id AND job.retry_count = claim.count AND job.state = 'active'`,
      messages.map(({ queueName }) => queueName),
      messages.map(({ id }) => id),
      messages.map(({ retryCount }) => retryCount),
      messages.map(({ group }) => group ?? null),
    );
    for (const queueName of new Set(messages.map((message) => message.queueName))) {
      publish(tx, { type: "queue", queue: queueName });
    }
  },
  async postpone(tx, { queueName, group }, waitMs, limit) {
    const after = `${SCHEMA}.job_now() + $3 * interval '1 ms'`;
    return count(
      tx,
      `UPDATE ${SCHEMA}.job SET start_after = ${after}, priority = ${POSTPONED}
       WHERE name = $1 AND id = ANY (ARRAY(
         SELECT id FROM ${SCHEMA}.job
         WHERE name = $1 AND group_id = $2 AND state < 'active' AND NOT blocked AND start_after <= ${SCHEMA}.job_now()
         LIMIT $4 FOR UPDATE SKIP LOCKED)) RETURNING 1`,
      [queueName, group, waitMs, limit],
    );
  },
  async resume(tx, { queueName, group }, limit) {
    const resumed = await count(
      tx,
      `UPDATE ${SCHEMA}.job SET start_after = ${SCHEMA}.job_now(), priority = 0
       WHERE name = $1 AND id = ANY (ARRAY(
         SELECT id FROM ${SCHEMA}.job
         WHERE name = $1 AND group_id = $2 AND state < 'active' AND NOT blocked AND priority = ${POSTPONED}
         ORDER BY created_on LIMIT $3 FOR UPDATE SKIP LOCKED)) RETURNING 1`,
      [queueName, group, limit],
    );
    if (resumed > 0) publish(tx, { type: "queue", queue: queueName });
    return resumed;
  },
};

/** Runs a statement, and returns how many rows it returned. */
async function count(tx: SqlTx, text: string, values: readonly unknown[]): Promise<number> {
  return (await tx.$queryRawUnsafe<unknown[]>(text, ...values)).length;
}
