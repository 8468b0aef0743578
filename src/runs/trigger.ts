/** The one door to a new run: for the API, cron slots, chains and reruns alike. */
import { audit } from "../access/audit.ts";
import { requireParams, requireTrigger } from "../access/permissions.ts";
import type { Caller } from "../access/rules/grants.ts";
import { CarillonError, jobDisabled, jobNotFound } from "../errors.ts";
import type { Infra } from "../infra.ts";
import { findJob, type StoredJob } from "../jobs/find.ts";
import { type Admitting, holdJobs, lockJobs } from "../jobs/locks.ts";
import { DEFAULT_POOL, MAX_WAITING } from "../jobs/rules/definition.ts";
import { databaseNow, type Tx } from "../postgres/client.ts";
import { newId } from "../postgres/ids.ts";
import { attemptMessage } from "../queue/messages.ts";
import { type Queue, sendAttempts } from "../queue/queue.ts";
import { replaceRuns } from "./cancel.ts";
import { fingerprintOf, insertKey, keyOf, lockKey } from "./idempotency.ts";
import { standings } from "./release.ts";
import { type Admission, admitRun, slotJitterMs, standingAfter } from "./rules/admission.ts";
import { pausedReason } from "./rules/missed.ts";
import type { Trigger } from "./rules/states.ts";

/** A trigger by whoever calls the API. */
export interface ApiTrigger {
  job: string;
  /** The caller's own label. */
  triggeredBy?: string | undefined;
  /** Joins the job's env and wins over it. */
  env?: Readonly<Record<string, string>> | undefined;
  /** false: fire no actions. */
  events?: boolean | undefined;
  /** The same key with the same trigger gives the same run (promise 2). */
  idempotencyKey?: string | undefined;
}

/** A run that a trigger stands for; `replayed`: an earlier trigger with the same key made it. */
export interface TriggerResult {
  id: string;
  replayed: boolean;
}

/**
 * Creates a run of a job by name. Throws job_not_found, job_disabled, queue_full, forbidden for a caller who may not
 * trigger this job or set this env, and idempotency_mismatch when the key stands for another trigger.
 */
export async function triggerRun(
  { db, queue }: Infra,
  caller: Caller,
  trigger: ApiTrigger,
): Promise<TriggerResult> {
  requireTrigger(caller, trigger.job);
  return db.transaction(async (tx) => {
    const triggered = await triggerOnce(queue, tx, caller, trigger);
    await audit(tx, caller, "job.trigger", trigger.job, {
      run: triggered.id,
      env: Object.keys(trigger.env ?? {}),
      ...(trigger.events === false && { events: false }),
      ...(triggered.replayed && { replayed: true }),
    });
    return triggered;
  });
}

async function triggerOnce(
  queue: Queue,
  tx: Tx,
  caller: Caller,
  trigger: ApiTrigger,
): Promise<TriggerResult> {
  const now = await databaseNow(tx);
  const key = keyOf(caller, trigger);
  if (key === undefined) return { id: await createAsked(queue, tx, caller, trigger, now), replayed: false };
  const fingerprint = fingerprintOf(trigger);
  const known = await lockKey(tx, key, now);
  if (known !== undefined && known.fingerprint !== fingerprint) {
    throw new CarillonError("idempotency_mismatch", "the key was sent with another trigger: use a new key");
  }
  if (known !== undefined) return { id: known.runId, replayed: true };
  const id = await createAsked(queue, tx, caller, trigger, now);
  await insertKey(tx, { key, fingerprint, runId: id, createdAt: now });
  return { id, replayed: false };
}

async function createAsked(
  queue: Queue,
  tx: Tx,
  caller: Caller,
  trigger: ApiTrigger,
  now: Date,
): Promise<string> {
  const job = await askedJob(tx, caller, trigger);
  const [id] = await createRuns(queue, tx, [
    {
      jobId: job.id,
      trigger: "api",
      triggeredBy: trigger.triggeredBy ?? "api",
      triggeredAt: now,
      env: trigger.env,
      fireEvents: trigger.events,
    },
  ]);
  if (id !== undefined) return id;
  // It was there a moment ago: it is disabled, unless it has been deleted since.
  throw (await findJob(tx, trigger.job)) === undefined ? jobNotFound(trigger.job) : jobDisabled(trigger.job);
}

async function askedJob(tx: Tx, caller: Caller, { job: name, env = {} }: ApiTrigger): Promise<StoredJob> {
  const job = await findJob(tx, name);
  if (job === undefined) throw jobNotFound(name);
  if (Object.keys(env).length === 0) return job;
  // What it lists is read once no save can change it any more.
  await holdJobs(tx, [job.id]);
  const held = (await findJob(tx, name)) ?? job;
  requireParams(caller, held.definition, env);
  return held;
}

/** A slot of a job that has come. */
export interface DueSlot {
  jobId: string;
  scheduledFor: Date;
  /** Why it makes no run. */
  missed?: string | undefined;
}

/**
 * Slots in one transaction, which has one insert and one bulk send for each pool. More at once would not be faster, but
 * block the event loop for longer, and workers would wait for the first of them until the last is there.
 */
const SLOTS_AT_ONCE = 1_000;

/** Creates the runs of due slots, many in one insert; a slot that has its run already makes none. */
export async function triggerSlots({ db, queue }: Infra, slots: readonly DueSlot[]): Promise<void> {
  // One order for all nodes: two that insert the same slots must not wait for each other in a circle.
  const ordered = slots.toSorted((a, b) => (a.jobId < b.jobId ? -1 : a.jobId > b.jobId ? 1 : 0));
  for (let first = 0; first < ordered.length; first += SLOTS_AT_ONCE) {
    const batch = ordered.slice(first, first + SLOTS_AT_ONCE);
    await db.transaction(async (tx) => {
      const now = await databaseNow(tx);
      const asked = { trigger: "cron", triggeredBy: "cron", triggeredAt: now } as const;
      await createRuns(
        queue,
        tx,
        batch.map((slot) => ({ ...slot, ...asked })),
      );
    });
  }
}

/** A run to create; the revision is the job's current one. */
export type RunRequest = Omit<NewRun, "id" | "revisionId" | "state" | "messageId" | "nextAttemptAt"> & {
  /** It is recorded as missed, for this reason, and never runs. */
  missed?: string | undefined;
};

/**
 * Creates runs and sends the messages of those that may start, in the caller's transaction; answers the new ids.
 * Jobs that are deleted or disabled, and slots that have their run already, are left out; slots of paused ones are missed.
 * Throws queue_full when a caller asks for one that would wait behind too many.
 */
export async function createRuns(queue: Queue, tx: Tx, requests: readonly RunRequest[]): Promise<string[]> {
  if (requests.length === 0) return [];
  const jobIds = [...new Set(requests.map((r) => r.jobId))];
  const jobs = await lockJobs(tx, jobIds);
  const standing = await standings(tx, jobIds);
  // Before they are admitted: a slot that has its run must not take a place, or another run's.
  const taken = await takenSlots(tx, requests);
  const runs = requests.flatMap(({ missed, ...request }): NewRun[] => {
    const job = jobs.get(request.jobId);
    if (job === undefined || taken.has(slotKey(request))) return [];
    const { revisionId } = job;
    const reason = missed ?? (job.paused && request.scheduledFor && pausedReason(job.paused));
    if (reason) return [{ ...request, id: newId(), revisionId, state: "missed", messageId: null, reason }];
    const before = standing.get(request.jobId) ?? { holding: 0, waiting: 0, waitingCron: 0 };
    const admission = admitRun(before, job.concurrency, request.trigger);
    standing.set(request.jobId, standingAfter(before, admission, request.trigger));
    return [
      { ...request, id: newId(), revisionId, ...admitted(admission), nextAttemptAt: startOf(request, job) },
    ];
  });
  if (runs.length === 0) return [];
  const inserted = await insertRuns(tx, runs);
  const created = runs.filter((run) => inserted.has(run.id));
  const poolOf = (jobId: string) => jobs.get(jobId)?.pool ?? DEFAULT_POOL;
  const starting = created.flatMap(({ id, jobId, messageId, nextAttemptAt }) =>
    messageId === null ? [] : [attemptMessage({ id, pool: poolOf(jobId) }, messageId, nextAttemptAt)],
  );
  await sendAttempts(queue, tx, starting);
  const waits = created.filter((run) => run.state === "queued" && run.messageId === null);
  for (const jobId of new Set(waits.map((run) => run.jobId))) {
    if (jobs.get(jobId)?.concurrency.policy === "replace") await replaceRuns(queue, tx, jobId);
  }
  return created.map((run) => run.id);
}

/** When a cron run may start, if that is later than its slot. */
function startOf({ jobId, trigger, scheduledFor }: RunRequest, { jitterMs }: Admitting): Date | undefined {
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
      throw new CarillonError("queue_full", `${MAX_WAITING} runs of this job wait already: try again later`);
  }
}

/** A run to insert. */
export interface NewRun {
  id: string;
  jobId: string;
  revisionId: string;
  trigger: Trigger;
  triggeredBy: string;
  triggeredAt: Date;
  /** `skipped` and `missed` never run. */
  state: "queued" | "skipped" | "missed";
  /** null: it waits for a place, or never runs. */
  messageId: string | null;
  /** Why it never runs, or what was left out before it. */
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

/** Inserts runs; answers the ids of those that are new: a slot that has its run already is left out (promise 1). */
export async function insertRuns(tx: Tx, runs: readonly NewRun[]): Promise<Set<string>> {
  const data = runs.map((run) => ({
    ...run,
    env: run.env ?? {},
    fireEvents: run.fireEvents ?? true,
    depth: run.depth ?? 1,
    finishedAt: run.state === "queued" ? null : run.triggeredAt,
  }));
  // One parameter for all of them: there is a limit to how many a statement has, and each one costs.
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

/** What a slot is called in the set of {@link takenSlots}. */
export function slotKey({ jobId, scheduledFor }: Slot): string {
  return `${jobId} ${scheduledFor?.toISOString()}`;
}

/** Those of these slots that have their row. */
export async function takenSlots(tx: Tx, slots: readonly Slot[]): Promise<Set<string>> {
  const asked = slots.filter((slot) => slot.scheduledFor !== undefined);
  if (asked.length === 0) return new Set();
  const [jobIds, times] = [asked.map((s) => s.jobId), asked.map((s) => s.scheduledFor?.toISOString())];
  const taken = await tx.$queryRaw<{ jobId: string; scheduledFor: Date }[]>`
    SELECT run.job_id AS "jobId", run.scheduled_for AS "scheduledFor"
    FROM unnest(${jobIds}::uuid[], ${times}::timestamptz[]) AS slot (job_id, scheduled_for)
    JOIN run ON run.job_id = slot.job_id AND run.scheduled_for = slot.scheduled_for`;
  return new Set(taken.map(slotKey));
}
