/** Creates the deliveries of events. */
import type { ActionOptions, NotifyAction } from "../jobs/rules/definition.ts";
import type { SqlTx } from "../postgres/client.ts";

/** A delivery to insert. */
export interface NewDelivery {
  id: string;
  eventId: string;
  action: NotifyAction;
  url: string;
  options: ActionOptions;
  /** null, as `nextTryAt`: the delivery is recorded as failed, and never sent. */
  messageId: string | null;
  createdAt: Date;
  nextTryAt: Date | null;
}

/**
 * Inserts deliveries, `pending` if they have a message; their events must be there. The caller sends the messages in
 * the same transaction.
 */
export async function createDeliveries(tx: SqlTx, deliveries: readonly NewDelivery[]): Promise<void> {
  if (deliveries.length === 0) return;
  await tx.$executeRaw`
    INSERT INTO delivery (id, event_id, job_id, action, url, options, state, message_id, created_at, next_try_at,
      finished_at)
    SELECT new.id, e.id, run.job_id, action, url, options,
      (CASE WHEN "messageId" IS NULL THEN 'failed' ELSE 'pending' END)::delivery_state, "messageId", "createdAt",
      "nextTryAt", CASE WHEN "messageId" IS NULL THEN "createdAt" END
    FROM jsonb_to_recordset(${JSON.stringify(deliveries)}::jsonb) AS new (id uuid, "eventId" uuid, action action_type,
      url text, options jsonb, "messageId" uuid, "createdAt" timestamptz, "nextTryAt" timestamptz)
    JOIN run_event e ON e.id = new."eventId" JOIN run ON run.id = e.run_id`;
}
