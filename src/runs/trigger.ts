/** The one door to a new run: for callers of the API, cron slots, chains and reruns alike. */
import { CarillonError } from "../errors.ts";
import type { Infra } from "../infra.ts";
import { lockJobsExclusively, lockJobsForRuns } from "../jobs/locks.ts";
import { type Concurrency, MAX_WAITING } from "../jobs/rules/definition.ts";
import { databaseNow, type Tx } from "../postgres/client.ts";
import { newId } from "../postgres/ids.ts";
import { attemptMessage } from "../queue/messages.ts";
import { type Queue, sendAttempts } from "../queue/queue.ts";
import { replaceRuns } from "./cancel.ts";
import { type Admission, admitRun, type Occupancy, occupancyAfter, slotJitterMs } from "./rules/admission.ts";
import { pausedReason } from "./rules/missed.ts";
import type { Trigger } from "./rules/states.ts";

/** A slot that is due. */
export interface DueSlot {
  jobId: string;
  scheduledFor: Date;
  /** Set: the slot is recorded as missed, for this reason. */
  missed?: string | undefined;
}

/**
 * Slots in one transaction, which has one insert and one bulk send for each pool. A larger batch would not be faster: it
 * would block the event loop for longer, and workers would wait for its first run until its last is inserted.
 */
const SLOTS_AT_ONCE = 1_000;

/** Creates the runs of due slots, many in one insert; a slot that already has its run creates none. */
export async function triggerSlots({ db, queue }: Infra, slots: readonly DueSlot[]): Promise<void> {
  // All nodes use one order: two that insert the same slots must not deadlock.
  const ordered = slots.toSorted((a, b) => (a.jobId < b.jobId ? -1 : a.jobId > b.jobId ? 1 : 0));
  for (let first = 0; first < ordered.length; first += SLOTS_AT_ONCE) {
    const batch = ordered.slice(first, first + SLOTS_AT_ONCE);
    await db.transaction(async (tx) => {
      const now = await databaseNow(tx);
      const common = { trigger: "cron", triggeredBy: "cron", triggeredAt: now } as const;
      await createRuns(
        queue,
        tx,
        batch.map((slot) => ({ ...slot, ...common })),
      );
    });
  }
}

/** A run to create; the revision is the job's current one. */
export type RunRequest = Omit<
  NewRun,
  "id" | "revisionId" | "pool" | "state" | "messageId" | "nextAttemptAt"
> & {
  /** Set: the run is recorded as missed, for this reason, and never starts. */
  missed?: string | undefined;
};

/**
 * Creates runs and sends the messages of those that may start, in the caller's transaction. Returns the new ids. Leaves
 * out jobs that are deleted or disabled, and slots that already have their run; slots of paused jobs are missed. Throws
 * queue_full when a caller of the API asks for one more run than may wait.
 */
export async function createRuns(queue: Queue, tx: Tx, requests: readonly RunRequest[]): Promise<string[]> {
  if (requests.length === 0) return [];
  const jobs = await lockJobs(tx, [...new Set(requests.map(({ jobId }) => jobId))]);
  // Before they are admitted: a slot that has its run must not take a place, or replace another run.
  const taken = await takenSlots(tx, requests);
  const runs = requests.flatMap((request) => {
    const job = jobs.get(request.jobId);
    return job === undefined || taken.has(slotKey(request)) ? [] : [newRun(request, job)];
  });
  if (runs.length === 0) return [];
  const inserted = await insertRuns(tx, runs);
  const created = runs.filter((run) => inserted.has(run.id));
  const starting = created.flatMap(({ id, pool, messageId, nextAttemptAt }) =>
    messageId === null ? [] : [attemptMessage({ id, pool }, messageId, nextAttemptAt)],
  );
  await sendAttempts(queue, tx, starting);
  const waiting = created.filter((run) => run.state === "queued" && run.messageId === null);
  for (const jobId of new Set(waiting.map((run) => run.jobId))) {
    if (jobs.get(jobId)?.concurrency.policy === "replace") await replaceRuns(queue, tx, jobId);
  }
  return created.map((run) => run.id);
}

/** A live, enabled and locked job, as far as its new runs need it. */
interface LockedJob {
  revisionId: string;
  concurrency: Concurrency;
  pool: string;
  /** Cron runs start up to this much (ms) later. */
  jitterMs: number;
  /** Set: its slots are missed. */
  paused: { by: string | null; reason: string | null } | null;
  /** Its active runs; those that this transaction creates are added. */
  occupancy: Occupancy;
}

/** Locks jobs until the transaction ends, and returns those that are live and enabled. No save changes them meanwhile. */
async function lockJobs(tx: Tx, jobIds: readonly string[]): Promise<Map<string, LockedJob>> {
  const fully = await lockJobsForRuns(tx, jobIds);
  const rows = await readJobs(tx, jobIds);
  const newlyLimited = fully ? [] : rows.filter((row) => row.limit !== null);
  if (newlyLimited.length > 0) {
    // A save set a limit while we waited for the lock: their runs count only under the full lock.
    await lockJobsExclusively(
      tx,
      newlyLimited.map((row) => row.id),
    );
    rows.splice(0, rows.length, ...(await readJobs(tx, jobIds)));
  }
  return new Map(
    rows.map(({ id, limit, policy, isPaused, by, reason, holding, waiting, waitingCron, ...job }) => [
      id,
      {
        ...job,
        concurrency: { limit, policy },
        paused: isPaused ? { by, reason } : null,
        occupancy: { holding, waiting, waitingCron },
      },
    ]),
  );
}

type JobRow = Pick<LockedJob, "revisionId" | "pool" | "jitterMs"> &
  Concurrency &
  Occupancy & { id: string; isPaused: boolean; by: string | null; reason: string | null };

/** A statement after the one that locks: it sees what a save committed while the lock was waited for. */
async function readJobs(tx: Tx, jobIds: readonly string[]): Promise<JobRow[]> {
  return tx.$queryRaw`
    SELECT j.id, r.id AS "revisionId", j.concurrency_limit AS "limit", r.concurrency_policy AS policy, r.pool,
      r.jitter_ms AS "jitterMs", j.paused_at IS NOT NULL AS "isPaused", j.paused_by AS by, j.pause_reason AS reason,
      active.*
    FROM job j JOIN job_revision r ON r.id = j.current_revision_id CROSS JOIN LATERAL (
      SELECT (count(*) FILTER (WHERE state <> 'queued' OR message_id IS NOT NULL))::int AS holding,
        (count(*) FILTER (WHERE state = 'queued'))::int AS waiting,
        (count(*) FILTER (WHERE state = 'queued' AND trigger = 'cron'))::int AS "waitingCron"
      FROM run WHERE job_id = j.id AND state IN ('queued', 'running', 'retrying')
    ) AS active
    WHERE j.id = ANY(${[...jobIds]}::uuid[]) AND j.deleted_at IS NULL AND r.enabled`;
}

/** Decides about one request, and adds its run to the occupancy of the job. */
function newRun({ missed, ...request }: RunRequest, job: LockedJob): NewRun {
  const run = { ...request, id: newId(), revisionId: job.revisionId, pool: job.pool };
  const reason = missed ?? (job.paused && request.scheduledFor && pausedReason(job.paused));
  if (reason) return { ...run, state: "missed", messageId: null, reason };
  const admission = admitRun(job.occupancy, job.concurrency, request.trigger);
  job.occupancy = occupancyAfter(job.occupancy, admission, request.trigger);
  return { ...run, ...admitted(admission), nextAttemptAt: startOf(request, job) };
}

/** When a cron run may start, if that is later than its slot. */
function startOf({ jobId, trigger, scheduledFor }: RunRequest, { jitterMs }: LockedJob): Date | undefined {
  if (trigger !== "cron" || scheduledFor === undefined || jitterMs === 0) return undefined;
  return new Date(scheduledFor.getTime() + slotJitterMs(jobId, scheduledFor, jitterMs));
}

function admitted(admission: Admission): Pick<NewRun, "state" | "messageId" | "reason"> {
  switch (admission.admit) {
    case "start":
      return { state: "queued", messageId: newId() };
    case "wait":
      return { state: "queued", messageId: null };
    case "skip":
      return { state: "skipped", messageId: null, reason: admission.reason };
    case "refuse":
      throw new CarillonError(
        "queue_full",
        `${MAX_WAITING} runs of this job are already waiting: try again later`,
      );
  }
}

/** A run to insert. */
export interface NewRun {
  id: string;
  jobId: string;
  revisionId: string;
  pool: string;
  trigger: Trigger;
  triggeredBy: string;
  triggeredAt: Date;
  /** `skipped` and `missed` never run. */
  state: "queued" | "skipped" | "missed";
  /** null: it waits for a place, or never runs. */
  messageId: string | null;
  /** Why it never runs, or which slots before it were left out. */
  reason?: string | undefined;
  scheduledFor?: Date | undefined;
  /** Not to start before; unset: at once. */
  nextAttemptAt?: Date | undefined;
  env?: Readonly<Record<string, string>> | undefined;
  fireEvents?: boolean | undefined;
  parentEventId?: string | undefined;
  depth?: number | undefined;
  rerunOfId?: string | undefined;
}

/** Inserts runs and returns the ids of the new ones: a slot that already has its run is left out (promise 1). */
async function insertRuns(tx: Tx, runs: readonly NewRun[]): Promise<Set<string>> {
  const data = runs.map(({ pool: _, ...run }) => ({
    ...run,
    env: run.env ?? {},
    fireEvents: run.fireEvents ?? true,
    depth: run.depth ?? 1,
    finishedAt: run.state === "queued" ? null : run.triggeredAt,
  }));
  // All rows are one parameter: the number of parameters is limited, and each one costs.
  const rows = await tx.$queryRaw<{ id: string }[]>`
    INSERT INTO run (id, job_id, revision_id, state, trigger, triggered_by, triggered_at, scheduled_for, env,
      fire_events, parent_event_id, depth, rerun_of_id, finished_at, next_attempt_at, message_id, reason)
    SELECT id, "jobId", "revisionId", state, trigger, "triggeredBy", "triggeredAt", "scheduledFor", env,
      "fireEvents", "parentEventId", depth, "rerunOfId", "finishedAt", "nextAttemptAt", "messageId", reason
    FROM jsonb_to_recordset(${JSON.stringify(data)}::jsonb) AS run (id uuid, "jobId" uuid, "revisionId" uuid,
      state run_state, trigger trigger_type, "triggeredBy" text, "triggeredAt" timestamptz, "scheduledFor" timestamptz,
      env jsonb, "fireEvents" boolean, "parentEventId" uuid, depth int, "rerunOfId" uuid, "finishedAt" timestamptz,
      "nextAttemptAt" timestamptz, "messageId" uuid, reason text)
    ON CONFLICT DO NOTHING RETURNING id`;
  return new Set(rows.map((row) => row.id));
}

export interface Slot {
  jobId: string;
  scheduledFor?: Date | undefined;
}

/** The key of a slot in the set of {@link takenSlots}. */
export function slotKey({ jobId, scheduledFor }: Slot): string {
  return `${jobId} ${scheduledFor?.toISOString()}`;
}

/** Those of these slots that already have their run. */
async function takenSlots(tx: Tx, slots: readonly Slot[]): Promise<Set<string>> {
  const due = slots.filter((slot) => slot.scheduledFor !== undefined);
  if (due.length === 0) return new Set();
  const [jobIds, times] = [due.map((s) => s.jobId), due.map((s) => s.scheduledFor?.toISOString())];
  const taken = await tx.$queryRaw<{ jobId: string; scheduledFor: Date }[]>`
    SELECT run.job_id AS "jobId", run.scheduled_for AS "scheduledFor"
    FROM unnest(${jobIds}::uuid[], ${times}::timestamptz[]) AS slot (job_id, scheduled_for)
    JOIN run ON run.job_id = slot.job_id AND run.scheduled_for = slot.scheduled_for`;
  return new Set(taken.map(slotKey));
}
