/** Reads runs with all their parts, in at most two round trips. */
import type { SqlTx } from "../postgres/client.ts";
import type { RunDetail } from "./read.ts";

type Event = RunDetail["events"][number];
type Delivery = Event["deliveries"][number];
type Parent = NonNullable<RunDetail["parentEvent"]>;

/** The run's own columns, and those of the rows that it refers to. */
type RunRow = Omit<RunDetail, "job" | "revision" | "events" | "parentEvent" | "attempts"> & {
  jobName: string;
  scheduleName: string;
  retryLimit: number;
  revisionNumber: number;
};

interface ParentRow {
  childId: string;
  event: Parent["event"];
  attempt: number;
  body: string;
  status: number | null;
  runId: string;
  triggeredAt: Date;
  triggeredBy: string;
  jobName: string;
}

/** Returns the runs that exist of those with these ids, by id. */
export async function findRunDetails(tx: SqlTx, ids: readonly string[]): Promise<Map<string, RunDetail>> {
  const [rows, attempts, events, parents] = await Promise.all([
    readRows(tx, ids),
    readAttempts(tx, ids),
    readEvents(tx, ids),
    readParents(tx, ids),
  ]);
  const whole = Map.groupBy(await withParts(tx, ids, events), ({ runId }) => runId);
  return new Map(
    rows.map(({ jobName, scheduleName, retryLimit, revisionNumber, ...run }) => {
      const parent = parents.find(({ childId }) => childId === run.id);
      const detail: RunDetail = {
        ...run,
        job: { name: jobName, schedule: { name: scheduleName } },
        revision: { retryLimit, number: revisionNumber },
        attempts: attempts.filter(({ runId }) => runId === run.id),
        events: whole.get(run.id)?.map(({ runId: _, ...event }) => event) ?? [],
        parentEvent: parent === undefined ? null : parentOf(parent),
      };
      return [run.id, detail];
    }),
  );
}

function readRows(tx: SqlTx, ids: readonly string[]): Promise<RunRow[]> {
  return tx.$queryRaw`
    SELECT run.id, run.job_id AS "jobId", run.revision_id AS "revisionId", run.state, run.trigger,
      run.triggered_by AS "triggeredBy", run.triggered_at AS "triggeredAt", run.scheduled_for AS "scheduledFor", run.env,
      run.fire_events AS "fireEvents", run.parent_event_id AS "parentEventId", run.depth, run.root_id AS "rootId",
      run.rerun_of_id AS "rerunOfId", run.attempt, run.status, run.retries_exhausted AS "retriesExhausted",
      run.started_at AS "startedAt", run.finished_at AS "finishedAt", run.next_attempt_at AS "nextAttemptAt",
      run.message_id AS "messageId", run.cancel_requested_at AS "cancelRequestedAt", run.reason, j.name AS "jobName",
      s.name AS "scheduleName", r.retry_limit AS "retryLimit", r.number AS "revisionNumber"
    FROM run JOIN job j ON j.id = run.job_id JOIN schedule s ON s.id = j.schedule_id
    JOIN job_revision r ON r.id = run.revision_id
    WHERE run.id = ANY(${[...ids]}::uuid[])`;
}

function readAttempts(tx: SqlTx, ids: readonly string[]): Promise<RunDetail["attempts"]> {
  return tx.$queryRaw`
    SELECT id, run_id AS "runId", number, claim, state, status, worker, reason, started_at AS "startedAt",
      finished_at AS "finishedAt"
    FROM attempt WHERE run_id = ANY(${[...ids]}::uuid[]) ORDER BY id`;
}

type EventRow = Omit<Event, "children" | "deliveries"> & { id: string; runId: string };

function readEvents(tx: SqlTx, ids: readonly string[]): Promise<EventRow[]> {
  return tx.$queryRaw`
    SELECT id, run_id AS "runId", event, attempt, refusals FROM run_event
    WHERE run_id = ANY(${[...ids]}::uuid[]) ORDER BY id`;
}

function readParents(tx: SqlTx, ids: readonly string[]): Promise<ParentRow[]> {
  return tx.$queryRaw`
    SELECT run.id AS "childId", e.event, e.attempt, e.body, a.status, p.id AS "runId", p.triggered_at AS "triggeredAt",
      p.triggered_by AS "triggeredBy", j.name AS "jobName"
    FROM run JOIN run_event e ON e.id = run.parent_event_id JOIN attempt a ON a.id = e.attempt_id
    JOIN run p ON p.id = e.run_id JOIN job j ON j.id = p.job_id
    WHERE run.id = ANY(${[...ids]}::uuid[])`;
}

function parentOf({
  event,
  attempt,
  body,
  status,
  runId,
  triggeredAt,
  triggeredBy,
  jobName,
}: ParentRow): Parent {
  const run = { id: runId, triggeredAt, triggeredBy, job: { name: jobName } };
  return { event, attempt, body, ofAttempt: { status }, run };
}

/** Adds the runs that events triggered, and their deliveries with all tries. */
async function withParts(
  tx: SqlTx,
  ids: readonly string[],
  events: readonly EventRow[],
): Promise<(Event & { runId: string })[]> {
  if (events.length === 0) return [];
  const [children, deliveries, tries] = await Promise.all([
    tx.$queryRaw<(Omit<Event["children"][number], "job"> & { eventId: string; jobName: string })[]>`
      SELECT run.id, run.state, j.name AS "jobName", e.id AS "eventId"
      FROM run_event e JOIN run ON run.parent_event_id = e.id JOIN job j ON j.id = run.job_id
      WHERE e.run_id = ANY(${[...ids]}::uuid[]) ORDER BY run.id`,
    tx.$queryRaw<Omit<Delivery, "history">[]>`
      SELECT d.id, d.event_id AS "eventId", d.action, d.url, d.options, d.state, d.tries,
        d.earlier_tries AS "earlierTries", d.next_try_at AS "nextTryAt", d.message_id AS "messageId",
        d.created_at AS "createdAt", d.finished_at AS "finishedAt"
      FROM run_event e JOIN delivery d ON d.event_id = e.id WHERE e.run_id = ANY(${[...ids]}::uuid[]) ORDER BY d.id`,
    tx.$queryRaw<Delivery["history"]>`
      SELECT t.delivery_id AS "deliveryId", t.number, t.started_at AS "startedAt", t.duration_ms AS "durationMs",
        t.status, t.error, t.response
      FROM run_event e JOIN delivery d ON d.event_id = e.id JOIN delivery_try t ON t.delivery_id = d.id
      WHERE e.run_id = ANY(${[...ids]}::uuid[]) ORDER BY t.number`,
  ]);
  return events.map(({ id: eventId, ...event }) => ({
    ...event,
    children: children
      .filter((child) => child.eventId === eventId)
      .map((child) => ({ id: child.id, state: child.state, job: { name: child.jobName } })),
    deliveries: deliveries
      .filter((delivery) => delivery.eventId === eventId)
      .map((delivery) => ({ ...delivery, history: tries.filter((one) => one.deliveryId === delivery.id) })),
  }));
}
