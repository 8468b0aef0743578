/** Triggers and reruns by API callers: checks their rights, and creates only one run for each Idempotency-Key. */
import { createHash } from "node:crypto";
import { audit } from "../access/audit.ts";
import { ADMIN, allows, type Caller, mayTrigger } from "../access/rules/grants.ts";
import { CarillonError, jobDisabled, jobNotFound, runNotFound } from "../errors.ts";
import type { Infra } from "../infra.ts";
import { lockJobsForRuns } from "../jobs/locks.ts";
import { databaseNow, type Tx } from "../postgres/client.ts";
import type { Queue } from "../queue/queue.ts";
import { createRuns } from "./trigger.ts";

/** A trigger by an API caller. */
export interface CallerTrigger {
  job: string;
  /** The caller's own label. */
  triggeredBy?: string | undefined;
  /** Added to the job's env; overrides its values. */
  env?: Readonly<Record<string, string>> | undefined;
  /** false: fire no actions. */
  events?: boolean | undefined;
  /** The same key with the same trigger returns the same run (promise 2). */
  idempotencyKey?: string | undefined;
}

/** The run of a trigger. `replayed`: an earlier trigger with the same key created it. */
export interface TriggerResult {
  id: string;
  replayed: boolean;
}

/**
 * Creates a run of a job by name. Throws job_not_found, job_disabled, queue_full, forbidden for a caller who may not
 * trigger this job or set this env, and idempotency_mismatch when the key belongs to another trigger.
 */
export async function triggerRun(
  { db, queue }: Infra,
  caller: Caller,
  trigger: CallerTrigger,
): Promise<TriggerResult> {
  // Checked before the job is read: a caller must not learn whether a job exists that it may not trigger.
  requireTrigger(caller, trigger.job);
  return db.transaction(async (tx) => {
    const result = await triggerOnce(queue, tx, caller, trigger);
    await audit(tx, caller, "job.trigger", trigger.job, {
      run: result.id,
      env: Object.keys(trigger.env ?? {}),
      ...(trigger.events === false && { events: false }),
      ...(result.replayed && { replayed: true }),
    });
    return result;
  });
}

/** Returns the run that the key of the trigger already has; otherwise creates a run and stores the key. */
async function triggerOnce(
  queue: Queue,
  tx: Tx,
  caller: Caller,
  trigger: CallerTrigger,
): Promise<TriggerResult> {
  const now = await databaseNow(tx);
  const key = keyOf(caller, trigger);
  if (key === undefined) return { id: await createRun(queue, tx, caller, trigger, now), replayed: false };
  const fingerprint = fingerprintOf(trigger);
  const known = await lockKey(tx, key, now);
  if (known !== undefined && known.fingerprint !== fingerprint) {
    throw new CarillonError("idempotency_mismatch", "This key belongs to another trigger: use a new key.");
  }
  if (known !== undefined) return { id: known.runId, replayed: true };
  const id = await createRun(queue, tx, caller, trigger, now);
  await tx.idempotencyKey.create({ data: { key, fingerprint, runId: id, createdAt: now } });
  return { id, replayed: false };
}

async function createRun(
  queue: Queue,
  tx: Tx,
  caller: Caller,
  { job: name, triggeredBy = "api", env = {}, events }: CallerTrigger,
  now: Date,
): Promise<string> {
  const job = await findTarget(tx, name);
  if (job === undefined) throw jobNotFound(name);
  if (Object.keys(env).length > 0) {
    // Read `params` again under the lock: a save may have changed it.
    await lockJobsForRuns(tx, [job.id]);
    requireParams(caller, name, (await findTarget(tx, name)) ?? job, env);
  }
  const [id] = await createRuns(queue, tx, [
    { jobId: job.id, trigger: "api", triggeredBy, triggeredAt: now, env, fireEvents: events },
  ]);
  if (id !== undefined) return id;
  // The job existed a moment ago, so it is disabled or has just been deleted.
  throw (await findTarget(tx, name)) === undefined ? jobNotFound(name) : jobDisabled(name);
}

interface Target {
  id: string;
  /** Variables that a trigger may set even without the scope admin. */
  params: string[];
}

async function findTarget(tx: Tx, name: string): Promise<Target | undefined> {
  const [job] = await tx.$queryRaw<Target[]>`
    SELECT j.id, r.params FROM job j JOIN job_revision r ON r.id = j.current_revision_id
    WHERE j.name = ${name} AND j.deleted_at IS NULL`;
  return job;
}

function requireTrigger(caller: Caller, job: string): void {
  if (mayTrigger(caller, job)) return;
  throw new CarillonError(
    "forbidden",
    caller.scopes.includes("trigger")
      ? `The scope trigger of the token ${caller.name} does not include the job ${job}.`
      : `The token ${caller.name} lacks the scope trigger.`,
  );
}

function requireParams(caller: Caller, job: string, { params }: Target, env: object): void {
  if (allows(caller, "admin")) return;
  const refused = Object.keys(env).filter((name) => !params.includes(name));
  if (refused.length === 0) return;
  throw new CarillonError(
    "forbidden",
    `Without the scope admin, a trigger may set only variables in the params of the job, which do not include ${refused.join(", ")}.`,
    refused.map((name) => ({ path: `env.${name}`, message: `is not in the params of job ${job}` })),
  );
}

/** The stored key. It contains the caller, so that callers cannot collide; keys in requests contain no space. */
function keyOf(caller: Caller, { idempotencyKey: key }: CallerTrigger): string | undefined {
  if (key === undefined || caller.id === ADMIN) return key;
  return `${caller.id} ${key}`;
}

/** A hash of the trigger, independent of the order of env. */
function fingerprintOf({ job, triggeredBy, env = {}, events }: CallerTrigger): string {
  const parts = [job, triggeredBy ?? null, Object.entries(env).sort(), events ?? true];
  return createHash("sha256").update(JSON.stringify(parts)).digest("hex");
}

/** How long a key is valid, in ms. */
const KEY_TTL_MS = 24 * 3_600_000;

/** Locks a key until the transaction ends, and returns its run and fingerprint. */
async function lockKey(
  tx: Tx,
  key: string,
  now: Date,
): Promise<{ runId: string; fingerprint: string } | undefined> {
  await tx.$queryRaw`SELECT pg_advisory_xact_lock(hashtextextended(${`idempotency ${key}`}, 0))::text`;
  const since = new Date(now.getTime() - KEY_TTL_MS);
  await tx.idempotencyKey.deleteMany({ where: { key, createdAt: { lt: since } } });
  return (await tx.idempotencyKey.findUnique({ where: { key } })) ?? undefined;
}

/** Deletes up to `limit` expired keys; returns how many. */
export async function deleteExpiredKeys(tx: Tx, now: Date, limit: number): Promise<number> {
  const since = new Date(now.getTime() - KEY_TTL_MS);
  return tx.$executeRaw`
    DELETE FROM idempotency_key WHERE key IN (
      SELECT key FROM idempotency_key WHERE created_at < ${since} ORDER BY created_at LIMIT ${limit})`;
}

/**
 * Triggers the job of a run again, with its current definition and the env of that run. Throws run_not_found,
 * job_not_found, job_disabled, queue_full.
 */
export async function rerun({ db, queue }: Infra, caller: Caller, id: string): Promise<string> {
  return db.transaction(async (tx) => {
    // Retention must not delete the run before the new one refers to it.
    await tx.$queryRaw`SELECT 1 AS locked FROM run WHERE id = ${id}::uuid FOR KEY SHARE`;
    const run = await tx.run.findUnique({ where: { id }, include: { job: true } });
    if (run === null) throw runNotFound(id);
    const { job, fireEvents } = run;
    if (job.deletedAt !== null)
      throw new CarillonError("job_not_found", `The job ${job.name} has been deleted.`);
    const triggeredAt = await databaseNow(tx);
    const env = run.env as Record<string, string>;
    const [newId] = await createRuns(queue, tx, [
      {
        jobId: job.id,
        trigger: "rerun",
        triggeredBy: "rerun",
        triggeredAt,
        env,
        fireEvents,
        rerunOfId: id,
      },
    ]);
    if (newId === undefined) throw jobDisabled(job.name);
    await audit(tx, caller, "run.rerun", id, { job: job.name, run: newId });
    return newId;
  });
}
