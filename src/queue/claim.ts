/** Claims messages by a statement of our own, which reads only the messages that it claims. */
import type { Db } from "pg-boss";
import { SCHEMA } from "./messages.ts";

/** The columns of a message that a claim returns. */
export interface ClaimedRow<T> {
  id: string;
  data: T;
  retryCount: number;
  groupId: string | null;
}

/**
 * Does what `fetch` of pg-boss does for a queue without a policy. pg-boss joins the chosen ids
 * with the table. While the statistics of the table are old, Postgres then reads the whole queue.
 * @param without groups whose messages are left out
 */
export async function claimMessages<T>(
  db: Db,
  queueName: string,
  count: number,
  without: readonly string[],
): Promise<ClaimedRow<T>[]> {
  const { rows } = await db.executeSql(CLAIM, [queueName, count, [...without]]);
  return rows as ClaimedRow<T>[];
}

/** The list of ids is an array, so that each message is looked up by its key. The order is that of an index. */
const CLAIM = `
  WITH next AS MATERIALIZED (
    SELECT id FROM ${SCHEMA}.job
    WHERE name = $1 AND state < 'active' AND NOT blocked AND start_after <= ${SCHEMA}.job_now()
      AND (group_id IS NULL OR group_id <> ALL ($3::text[]))
    ORDER BY priority DESC, created_on LIMIT $2::int FOR UPDATE SKIP LOCKED
  )
  UPDATE ${SCHEMA}.job SET state = 'active', started_on = ${SCHEMA}.job_now(), heartbeat_on = ${SCHEMA}.job_now(),
    retry_count = CASE WHEN started_on IS NOT NULL THEN retry_count + 1 ELSE retry_count END
  WHERE name = $1 AND id = ANY (ARRAY(SELECT id FROM next))
  RETURNING id, data, retry_count AS "retryCount", group_id AS "groupId"`;
