/** The one door to a new run: for the API, cron slots, chains and reruns alike. */
import { createHash } from "node:crypto";
import { type Admission, admitRun, standingAfter } from "../core/concurrency.ts";
import { CarillonError } from "../core/errors.ts";
import { slotJitterMs } from "../core/jitter.ts";
import { DEFAULT_POOL, MAX_WAITING } from "../core/job.ts";
import { databaseNow } from "../db/client.ts";
import { type Admitting, lockJobs, standings } from "../db/concurrency.ts";
import { findJob } from "../db/definitions.ts";
import { findAsked } from "../db/history.ts";
import { insertKey, lockKey } from "../db/idempotency.ts";
import { insertRuns, type NewRun } from "../db/runs.ts";
import { type AttemptMessage, attemptQueue } from "../engine/queues.ts";
import { type Deps, newId, type Tx } from "./deps.ts";
import { runNotFound } from "./read-history.ts";

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
export interface Triggered {
  id: string;
  replayed: boolean;
}

/**
 * Creates a run of a job by name. Throws job_not_found, job_disabled, queue_full, and idempotency_mismatch when the
 * key stands for another trigger.
 */
export async function triggerRun(deps: Deps, trigger: ApiTrigger): Promise<Triggered> {
  const { idempotencyKey: key } = trigger;
  return deps.db.transaction(async (tx) => {
    const now = await databaseNow(tx);
    if (key === undefined) return { id: await createAsked(deps, tx, trigger, now), replayed: false };
    const fingerprint = fingerprintOf(trigger);
    const known = await lockKey(tx, key, now);
    if (known !== undefined && known.fingerprint !== fingerprint) {
      throw new CarillonError("idempotency_mismatch", "the key was sent with another trigger: use a new key");
    }
    if (known !== undefined) return { id: known.runId, replayed: true };
    const id = await createAsked(deps, tx, trigger, now);
    await insertKey(tx, { key, fingerprint, runId: id, createdAt: now });
    return { id, replayed: false };
  });
}

async function createAsked(deps: Deps, tx: Tx, trigger: ApiTrigger, now: Date): Promise<string> {
  const job = await findJob(tx, trigger.job);
  if (job === undefined) throw jobNotFound(trigger.job);
  const [id] = await createRuns(deps, tx, [
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

/** What a trigger asks for, as a digest: env in any order is the same. */
function fingerprintOf({ job, triggeredBy, env = {}, events }: ApiTrigger): string {
  const asked = [job, triggeredBy ?? null, Object.entries(env).sort(), events ?? true];
  return createHash("sha256").update(JSON.stringify(asked)).digest("hex");
}

function jobNotFound(name: string): CarillonError {
  return new CarillonError("job_not_found", `there is no job ${name}`);
}

function jobDisabled(name: string): CarillonError {
  return new CarillonError("job_disabled", `job ${name} is disabled: save it with enabled: true first`);
}

/**
 * Runs the job of a run once more, as the job is now and with the same env. Throws run_not_found, job_not_found,
 * job_disabled, queue_full.
 */
export async function rerun(deps: Deps, id: string): Promise<string> {
  return deps.db.transaction(async (tx) => {
    const run = await findAsked(tx, id);
    if (run === undefined) throw runNotFound(id);
    const { job, env, fireEvents } = run;
    if (job.deletedAt !== null) throw new CarillonError("job_not_found", `job ${job.name} has been deleted`);
    const [again] = await createRuns(deps, tx, [
      {
        jobId: job.id,
        trigger: "rerun",
        triggeredBy: "rerun",
        triggeredAt: await databaseNow(tx),
        env: env as Record<string, string>,
        fireEvents,
        rerunOfId: id,
      },
    ]);
    if (again === undefined) throw jobDisabled(job.name);
    return again;
  });
}

/** A slot of a job that has come. */
export interface DueSlot {
  jobId: string;
  scheduledFor: Date;
}

/** Slots in one transaction: a burst or a gap must not outlast its time limit. */
const SLOTS_AT_ONCE = 500;

/** Creates the runs of due slots, many in one insert; a slot that has its run already makes none. */
export async function triggerSlots(deps: Deps, slots: readonly DueSlot[]): Promise<void> {
  // One order for all nodes: two that insert the same slots must not wait for each other in a circle.
  const ordered = slots.toSorted((a, b) => (a.jobId < b.jobId ? -1 : a.jobId > b.jobId ? 1 : 0));
  for (let first = 0; first < ordered.length; first += SLOTS_AT_ONCE) {
    const batch = ordered.slice(first, first + SLOTS_AT_ONCE);
    await deps.db.transaction(async (tx) => {
      const now = await databaseNow(tx);
      const asked = { trigger: "cron", triggeredBy: "cron", triggeredAt: now } as const;
      await createRuns(
        deps,
        tx,
        batch.map((slot) => ({ ...slot, ...asked })),
      );
    });
  }
}

/** A run to create; the revision is the job's current one. */
export type RunRequest = Omit<
  NewRun,
  "id" | "revisionId" | "state" | "messageId" | "reason" | "nextAttemptAt"
>;

/**
 * Creates runs and sends the messages of those that may start, in the caller's transaction; answers the new ids.
 * Jobs that are deleted or disabled, slots of paused ones, and slots that have their run already, are left out.
 * Throws queue_full when a caller asks for one that would wait behind too many.
 */
export async function createRuns(deps: Deps, tx: Tx, requests: readonly RunRequest[]): Promise<string[]> {
  if (requests.length === 0) return [];
  const jobIds = [...new Set(requests.map((r) => r.jobId))];
  const jobs = await lockJobs(tx, jobIds);
  const standing = await standings(tx, jobIds);
  const runs = requests.flatMap((request): NewRun[] => {
    const job = jobs.get(request.jobId);
    if (job === undefined || (job.paused && request.trigger === "cron")) return [];
    const before = standing.get(request.jobId) ?? { holding: 0, waiting: 0, waitingCron: 0 };
    const admission = admitRun(before, job.concurrency, request.trigger);
    standing.set(request.jobId, standingAfter(before, admission, request.trigger));
    const { revisionId } = job;
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
  await sendAttempts(deps, tx, starting);
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

/** The message that lets a worker of the run's pool start its next attempt, now or from a time on. */
export function attemptMessage(run: { id: string; pool: string }, messageId: string, startAfter?: Date) {
  const data: AttemptMessage = { run_id: run.id, message_id: messageId };
  return { pool: run.pool, id: messageId, data, ...(startAfter && { startAfter }) };
}

/** Sends messages that let workers start attempts, pool by pool. */
export async function sendAttempts(
  deps: Deps,
  tx: Tx,
  messages: readonly ReturnType<typeof attemptMessage>[],
): Promise<void> {
  for (const [pool, ofPool] of Map.groupBy(messages, (message) => message.pool)) {
    await deps.engine.send(tx, attemptQueue(pool), ofPool);
  }
}
