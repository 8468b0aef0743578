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
  messageId: string;
  createdAt: Date;
  nextTryAt: Date;
}

/**
 * Inserts deliveries in the state `pending`; their events must be there. The caller sends their messages in the same
 * transaction.
 */
export async function createDeliveries(tx: SqlTx, deliveries: readonly NewDelivery[]): Promise<void> {
  if (deliveries.length === 0) return;
  await tx.$executeRaw`
    INSERT INTO delivery (id, event_id, job_id, action, url, options, message_id, created_at, next_try_at)
    SELECT new.id, e.id, run.job_id, action, url, options, "messageId", "createdAt", "nextTryAt"
    FROM jsonb_to_recordset(${JSON.stringify(deliveries)}::jsonb) AS new (id uuid, "eventId" uuid, action action_type,
      url text, options jsonb, "messageId" uuid, "createdAt" timestamptz, "nextTryAt" timestamptz)
    JOIN run_event e ON e.id = new."eventId" JOIN run ON run.id = e.run_id`;
}
