/** The rows that the events of settlements cause: the events themselves, their deliveries, and the runs they trigger. */
import type { NewDelivery } from "../deliveries/create.ts";
import type { SqlTx } from "../postgres/client.ts";
import { newId } from "../postgres/ids.ts";
import type { Reduction } from "./rules/reduction.ts";
import type { SettledEvent, Settlement } from "./rules/settlement.ts";
import type { SettlingRow } from "./settling-rows.ts";
import type { RunRequest } from "./trigger.ts";

/** The settlement that fires events. */
interface EventSource {
  run: SettlingRow;
  attemptId: string;
  settlement: Settlement;
  reduction: Reduction | undefined;
}

/** An event of a settlement with its new id. */
export interface FiredEvent extends SettledEvent {
  id: string;
  plan: EventSource;
}

/** The events of a settlement with their new ids. */
export function firedEvents(plan: EventSource): FiredEvent[] {
  return plan.settlement.events.map((event) => ({ ...event, id: newId(), plan }));
}

/** The deliveries of an event; those of a settlement without effects are recorded as failed. */
export function newDeliveries({ id: eventId, deliveries, plan }: FiredEvent, now: Date): NewDelivery[] {
  const isDropped = plan.reduction?.without === "effects";
  return deliveries.map(({ action, url, ...options }) => ({
    ...{ eventId, action, url, options },
    ...(isDropped ? { messageId: null, nextTryAt: null } : { messageId: newId(), nextTryAt: now }),
    id: newId(),
    createdAt: now,
  }));
}

/** The runs that an event triggers. */
export function childRuns(
  { id: parentEventId, triggers, plan }: FiredEvent,
  triggeredAt: Date,
): RunRequest[] {
  const { rootId } = plan.run;
  const depth = plan.run.depth + 1;
  return triggers.map(({ jobId, triggeredBy }) => {
    return { jobId, trigger: "job", triggeredBy, triggeredAt, parentEventId, depth, rootId };
  });
}

/** Inserts events; their runs and attempts must be there. */
export async function insertRunEvents(
  tx: SqlTx,
  events: readonly FiredEvent[],
  createdAt: Date,
): Promise<void> {
  if (events.length === 0) return;
  const rows = events.map(({ id, event, body, refusals, plan: { run, attemptId } }) => {
    return { id, runId: run.id, attemptId, attempt: run.attempt, event, body, refusals, createdAt };
  });
  await tx.$executeRaw`
    INSERT INTO run_event (id, run_id, attempt_id, attempt, event, body, refusals, created_at)
    SELECT id, "runId", "attemptId", attempt, event, body, refusals, "createdAt"
    FROM json_to_recordset(${JSON.stringify(rows)}::json) AS fired (id uuid, "runId" uuid, "attemptId" uuid,
      attempt int, event event_type, body text, refusals jsonb, "createdAt" timestamptz)`;
}
