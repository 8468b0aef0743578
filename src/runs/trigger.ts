/** The one door to a new run: for the API, cron slots, chains and reruns alike. */

import { createHash } from "node:crypto";
import { audit } from "../access/audit.ts";
import { requireParams, requireTrigger } from "../access/permissions.ts";
import { ADMIN } from "../access/rules/grants.ts";
import { type Deps, newId } from "../deps.ts";
import { CarillonError } from "../errors.ts";
import { slotKey, takenSlots } from "../jobs/cron-jobs.ts";
import { findJob, type StoredJob } from "../jobs/find.ts";
import { type Admitting, holdJobs, lockJobs, standings } from "../jobs/locks.ts";
import { DEFAULT_POOL, MAX_WAITING } from "../jobs/rules/definition.ts";
import { databaseNow, type Tx } from "../postgres/client.ts";
import { attemptMessage, sendAttempts } from "../queue/attempt-messages.ts";
import { findAsked } from "./history.ts";
import { insertKey, lockKey } from "./idempotency.ts";
import { runNotFound } from "./read.ts";
import { replaceRuns } from "./replace.ts";
import { type Admission, admitRun, standingAfter } from "./rules/admission.ts";
import { slotJitterMs } from "./rules/jitter.ts";
import { pausedReason } from "./rules/missed.ts";
import { insertRuns, type NewRun } from "./transitions.ts";

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
 * Creates a run of a job by name. Throws job_not_found, job_disabled, queue_full, forbidden for a caller who may not
 * trigger this job or set this env, and idempotency_mismatch when the key stands for another trigger.
 */
export async function triggerRun(deps: Deps, trigger: ApiTrigger): Promise<Triggered> {
  requireTrigger(deps, trigger.job);
  return deps.db.transaction(async (tx) => {
    const triggered = await triggerOnce(deps, tx, trigger);
    await audit(deps, tx, "job.trigger", trigger.job, {
      run: triggered.id,
      env: Object.keys(trigger.env ?? {}),
      ...(trigger.events === false && { events: false }),
      ...(triggered.replayed && { replayed: true }),
    });
    return triggered;
  });
}

async function triggerOnce(deps: Deps, tx: Tx, trigger: ApiTrigger): Promise<Triggered> {
  const now = await databaseNow(tx);
  const key = keyOf(deps, trigger);
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
}

/** Callers have keys of their own, so that none gets another one's run; keys that are sent have no space in them. */
function keyOf({ caller }: Deps, { idempotencyKey: key }: ApiTrigger): string | undefined {
  if (key === undefined || caller === undefined || caller.id === ADMIN) return key;
  return `${caller.id} ${key}`;
}

async function createAsked(deps: Deps, tx: Tx, trigger: ApiTrigger, now: Date): Promise<string> {
  const job = await askedJob(deps, tx, trigger);
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

async function askedJob(deps: Deps, tx: Tx, { job: name, env = {} }: ApiTrigger): Promise<StoredJob> {
  const job = await findJob(tx, name);
  if (job === undefined) throw jobNotFound(name);
  if (Object.keys(env).length === 0) return job;
  // What it lists is read once no save can change it any more.
  await holdJobs(tx, [job.id]);
  const held = (await findJob(tx, name)) ?? job;
  requireParams(deps, held.definition, env);
  return held;
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
    await audit(deps, tx, "run.rerun", id, { job: job.name, run: again });
    return again;
  });
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
export type RunRequest = Omit<NewRun, "id" | "revisionId" | "state" | "messageId" | "nextAttemptAt"> & {
  /** It is recorded as missed, for this reason, and never runs. */
  missed?: string | undefined;
};

/**
 * Creates runs and sends the messages of those that may start, in the caller's transaction; answers the new ids.
 * Jobs that are deleted or disabled, and slots that have their run already, are left out; slots of paused ones are missed.
 * Throws queue_full when a caller asks for one that would wait behind too many.
 */
export async function createRuns(deps: Deps, tx: Tx, requests: readonly RunRequest[]): Promise<string[]> {
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
  await sendAttempts(deps, tx, starting);
  const waits = created.filter((run) => run.state === "queued" && run.messageId === null);
  for (const jobId of new Set(waits.map((run) => run.jobId))) {
    if (jobs.get(jobId)?.concurrency.policy === "replace") await replaceRuns(deps, tx, jobId);
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
