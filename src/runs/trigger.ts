/** Creates all runs: of API calls, cron slots, chains and reruns. */
import { CarillonError } from "../errors.ts";
import type { Infra } from "../infra.ts";
import { MAX_WAITING } from "../jobs/rules/definition.ts";
import { databaseNow, type SqlTx } from "../postgres/client.ts";
import { isTimeout } from "../postgres/failures.ts";
import { newId } from "../postgres/ids.ts";
import { attemptMessage } from "../queue/messages.ts";
import { type Queue, sendAttempts } from "../queue/queue.ts";
import { replaceRuns } from "./cancel.ts";
import { type Admission, admitRun, occupancyAfter, slotJitterMs } from "./rules/admission.ts";
import { pausedReason } from "./rules/missed.ts";
import type { Trigger } from "./rules/states.ts";
import { lockTargetJobs, type TargetJob } from "./target-jobs.ts";

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
    const work = async (tx: SqlTx) => {
      const now = await databaseNow(tx);
      const common = { trigger: "cron", triggeredBy: "cron", triggeredAt: now } as const;
      await createRuns(
        queue,
        tx,
        batch.map((slot) => ({ ...slot, ...common })),
      );
    };
    try {
      await db.sqlTransaction(work);
    } catch (error) {
      if (!isTimeout(error)) throw error;
      // A save holds the lock of a job for longer than a batch waits.
      await db.transaction(work);
    }
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
export async function createRuns(
  queue: Queue,
  tx: SqlTx,
  requests: readonly RunRequest[],
): Promise<string[]> {
  if (requests.length === 0) return [];
  const ids = [...new Set(requests.map(({ jobId }) => jobId))];
  // Slots are checked before admission: a slot that has a run must not take a place or replace another run.
  const [jobs, taken] = await Promise.all([lockTargetJobs(tx, { ids }), takenSlots(tx, requests)]);
  const targets = new Map(jobs.map((job) => [job.id, job]));
  const runs = requests.flatMap((request) => {
    const job = targets.get(request.jobId);
    return job === undefined || !job.enabled || taken.has(slotKey(request)) ? [] : [newRun(request, job)];
  });
  return saveRuns(queue, tx, jobs, runs);
}

/**
 * Inserts new runs, sends messages for those that may start, and replaces older runs of jobs with that policy. Returns
 * the ids of the inserted runs: a slot that already has a run is left out.
 * @param jobs the locked jobs of the runs
 */
export async function saveRuns(
  queue: Queue,
  tx: SqlTx,
  jobs: readonly TargetJob[],
  runs: readonly NewRun[],
): Promise<string[]> {
  if (runs.length === 0) return [];
  // Only a slot can have a run already, so the messages of other runs need not wait for the answer.
  const isSure = runs.every((run) => run.scheduledFor === undefined);
  const inserting = insertRuns(tx, runs);
  const sendOf = (created: readonly NewRun[]) => sendAttempts(queue, tx, messagesOf(created));
  const [inserted] = await Promise.all([inserting, isSure && sendOf(runs)]);
  const created = runs.filter((run) => inserted.has(run.id));
  if (!isSure) await sendOf(created);
  const waiting = created.filter((run) => run.state === "queued" && run.messageId === null);
  for (const job of jobs) {
    if (job.concurrency.policy !== "replace" || !waiting.some((run) => run.jobId === job.id)) continue;
    await replaceRuns(queue, tx, job.id);
  }
  return created.map((run) => run.id);
}

function messagesOf(runs: readonly NewRun[]) {
  return runs.flatMap(({ id, pool, messageId, nextAttemptAt }) =>
    messageId === null ? [] : [attemptMessage({ id, pool }, messageId, nextAttemptAt)],
  );
}

/** Makes the run of a request, and adds it to the occupancy of the job. Throws queue_full. */
export function newRun({ missed, ...request }: RunRequest, job: TargetJob): NewRun {
  const run = { ...request, id: newId(), revisionId: job.revisionId, pool: job.pool };
  const reason = missed ?? (job.paused && request.scheduledFor && pausedReason(job.paused));
  if (reason) return { ...run, state: "missed", messageId: null, reason };
  const admission = admitRun(job.occupancy, job.concurrency, request.trigger);
  const admitted = admittedState(admission);
  const nextAttemptAt = earliestStart(request, job);
  const isDelayed = nextAttemptAt !== undefined && nextAttemptAt > request.triggeredAt;
  job.occupancy = occupancyAfter(job.occupancy, admission, { trigger: request.trigger, isDelayed });
  return { ...run, ...admitted, nextAttemptAt };
}

/** The time before which a cron run must not start; undefined: it may start at once. */
function earliestStart(
  { jobId, trigger, scheduledFor }: RunRequest,
  { jitterMs }: TargetJob,
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
  /** The first run of its chain; unset: it is the first itself. */
  rootId?: string | undefined;
  rerunOfId?: string | undefined;
}

/** Inserts runs and returns their ids. Leaves out slots that already have a run (promise 1). */
async function insertRuns(tx: SqlTx, runs: readonly NewRun[]): Promise<Set<string>> {
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
      fire_events, parent_event_id, depth, root_id, rerun_of_id, finished_at, next_attempt_at, message_id, reason)
    SELECT id, "jobId", "revisionId", state, trigger, "triggeredBy", "triggeredAt", "scheduledFor", env,
      "fireEvents", "parentEventId", depth, "rootId", "rerunOfId", "finishedAt", "nextAttemptAt", "messageId", reason
    FROM jsonb_to_recordset(${JSON.stringify(data)}::jsonb) AS run (id uuid, "jobId" uuid, "revisionId" uuid,
      state run_state, trigger trigger_type, "triggeredBy" text, "triggeredAt" timestamptz, "scheduledFor" timestamptz,
      env jsonb, "fireEvents" boolean, "parentEventId" uuid, depth int, "rootId" uuid, "rerunOfId" uuid,
      "finishedAt" timestamptz, "nextAttemptAt" timestamptz, "messageId" uuid, reason text)
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
async function takenSlots(tx: SqlTx, slots: readonly Slot[]): Promise<Set<string>> {
  const due = slots.filter((slot) => slot.scheduledFor !== undefined);
  if (due.length === 0) return new Set();
  const [jobIds, times] = [due.map((s) => s.jobId), due.map((s) => s.scheduledFor?.toISOString())];
  const taken = await tx.$queryRaw<{ jobId: string; scheduledFor: Date }[]>`
    SELECT taken.job_id AS "jobId", taken.scheduled_for AS "scheduledFor"
    FROM unnest(${jobIds}::uuid[], ${times}::timestamptz[]) AS slot (job_id, scheduled_for) CROSS JOIN LATERAL (
      SELECT job_id, scheduled_for FROM run
      WHERE job_id = slot.job_id AND scheduled_for = slot.scheduled_for OFFSET 0
    ) AS taken`;
  return new Set(taken.map(slotKey));
}
