/** Creates all runs: of API calls, cron slots, chains and reruns. */
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
 * The most slots in one transaction. A larger batch is not faster: it blocks the event loop for longer, and no worker
 * can start its first run before the last run is inserted.
 */
const SLOTS_AT_ONCE = 1_000;

/** Creates the runs of due slots in batches. A slot that already has a run is left out. */
export async function triggerSlots({ db, queue }: Infra, slots: readonly DueSlot[]): Promise<void> {
  // All nodes use the same order, so that two nodes with the same slots cannot deadlock.
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

/** A run to create. It gets the current revision of its job. */
export type RunRequest = Omit<
  NewRun,
  "id" | "revisionId" | "pool" | "state" | "messageId" | "nextAttemptAt"
> & {
  /** Set: the run is recorded as missed, for this reason, and never starts. */
  missed?: string | undefined;
};

/**
 * Creates runs in the caller's transaction, and sends messages for those that may start. Returns the new ids. Leaves
 * out deleted and disabled jobs, and slots that already have a run. Records slots of paused jobs as missed. Throws
 * queue_full when an API call triggers a job that has too many waiting runs.
 */
export async function createRuns(queue: Queue, tx: Tx, requests: readonly RunRequest[]): Promise<string[]> {
  if (requests.length === 0) return [];
  const jobs = await lockJobs(tx, [...new Set(requests.map(({ jobId }) => jobId))]);
  // Checked before admission: a slot that has a run must not take a place or replace another run.
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

/** A locked job that is live and enabled, with what its new runs depend on. */
interface LockedJob {
  revisionId: string;
  concurrency: Concurrency;
  pool: string;
  /** Cron runs start at most this much (ms) after their slots. */
  jitterMs: number;
  /** Set while the job is paused: its slots are recorded as missed. */
  paused: { by: string | null; reason: string | null } | null;
  /** The active runs, including those that this transaction creates. */
  occupancy: Occupancy;
}

/** Locks jobs until the transaction ends, so that no save changes them. Returns the live and enabled ones. */
async function lockJobs(tx: Tx, jobIds: readonly string[]): Promise<Map<string, LockedJob>> {
  const isExclusive = await lockJobsForRuns(tx, jobIds);
  const rows = await readJobs(tx, jobIds);
  const newlyLimited = isExclusive ? [] : rows.filter((row) => row.limit !== null);
  if (newlyLimited.length > 0) {
    // A save set a limit while we waited for the lock. Runs can be counted only under an exclusive lock.
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

/** Reads jobs in a new statement, which sees changes that were committed while we waited for the locks. */
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

/** Makes the run of a request, and adds it to the occupancy of the job. */
function newRun({ missed, ...request }: RunRequest, job: LockedJob): NewRun {
  const run = { ...request, id: newId(), revisionId: job.revisionId, pool: job.pool };
  const reason = missed ?? (job.paused && request.scheduledFor && pausedReason(job.paused));
  if (reason) return { ...run, state: "missed", messageId: null, reason };
  const admission = admitRun(job.occupancy, job.concurrency, request.trigger);
  job.occupancy = occupancyAfter(job.occupancy, admission, request.trigger);
  return { ...run, ...admittedState(admission), nextAttemptAt: earliestStart(request, job) };
}

/** The time before which a cron run must not start; undefined: it may start at once. */
function earliestStart(
  { jobId, trigger, scheduledFor }: RunRequest,
  { jitterMs }: LockedJob,
): Date | undefined {
  if (trigger !== "cron" || scheduledFor === undefined || jitterMs === 0) return undefined;
  return new Date(scheduledFor.getTime() + slotJitterMs(jobId, scheduledFor, jitterMs));
}

function admittedState(admission: Admission): Pick<NewRun, "state" | "messageId" | "reason"> {
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
        `The job has ${MAX_WAITING} waiting runs already: try again later.`,
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
  /** Skipped and missed runs never start. */
  state: "queued" | "skipped" | "missed";
  /** null: the run waits for a place, or never starts. */
  messageId: string | null;
  /** Why it never starts, or how many earlier slots were left out. */
  reason?: string | undefined;
  scheduledFor?: Date | undefined;
  /** The run must not start before this time; unset: it may start at once. */
  nextAttemptAt?: Date | undefined;
  env?: Readonly<Record<string, string>> | undefined;
  fireEvents?: boolean | undefined;
  parentEventId?: string | undefined;
  depth?: number | undefined;
  rerunOfId?: string | undefined;
}

/** Inserts runs and returns their ids. Leaves out slots that already have a run (promise 1). */
async function insertRuns(tx: Tx, runs: readonly NewRun[]): Promise<Set<string>> {
  const data = runs.map(({ pool: _, ...run }) => ({
    ...run,
    env: run.env ?? {},
    fireEvents: run.fireEvents ?? true,
    depth: run.depth ?? 1,
    finishedAt: run.state === "queued" ? null : run.triggeredAt,
  }));
  // One parameter holds all rows: the number of parameters is limited, and each one costs time.
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

/** The keys of the slots that already have a run. */
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
