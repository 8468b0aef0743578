/** Triggers and reruns by API callers: checks their rights, and creates only one run for each Idempotency-Key. */
import { type AuditedChange, audit, auditAll } from "../access/audit.ts";
import { allows, type Caller, mayTrigger } from "../access/rules/grants.ts";
import { CarillonError, jobDisabled, jobNotFound, runNotFound } from "../errors.ts";
import type { Infra } from "../infra.ts";
import { databaseNow, type SqlTx } from "../postgres/client.ts";
import { createBatches, type InTransaction, type Outcome } from "../postgres/coalescer.ts";
import {
  type CallerTrigger,
  findKeys,
  insertKeys,
  type KnownKey,
  type StoredKey,
  storedKey,
} from "./idempotency-keys.ts";
import { newRunDetail, type RunDetail } from "./read.ts";
import { lockTargetJobs, type TargetJob } from "./target-jobs.ts";
import { createRuns, type NewRun, newRun, saveRuns } from "./trigger.ts";

/** The run of a trigger. */
export interface TriggerResult {
  id: string;
  /** An earlier trigger with the same key created the run. */
  replayed: boolean;
  /** The new run, as it was created; undefined when it is a replay. */
  run?: RunDetail;
}

/**
 * Creates a run of a job by name. Throws job_not_found, job_disabled, queue_full, forbidden for a caller who may not
 * trigger this job or set this env, and idempotency_mismatch when the key belongs to another trigger.
 */
export async function triggerRun(
  infra: Infra,
  caller: Caller,
  trigger: CallerTrigger,
): Promise<TriggerResult> {
  // Checked before the job is read: a caller must not learn whether a job exists that it may not trigger.
  requireTrigger(caller, trigger.job);
  return triggerInBatch(infra, { caller, trigger, key: storedKey(caller, trigger) });
}

/** A trigger that waits for its batch. */
interface PendingTrigger {
  caller: Caller;
  trigger: CallerTrigger;
  key: StoredKey | undefined;
}

/** The most triggers in one transaction. */
const TRIGGERS_AT_ONCE = 100;

const triggerInBatch = createBatches(triggerAll, TRIGGERS_AT_ONCE);

/** Creates the runs of triggers in one transaction; a trigger that is refused does not affect the others. */
async function triggerAll(
  { queue }: Infra,
  items: readonly PendingTrigger[],
  inTransaction: InTransaction,
): Promise<Outcome<TriggerResult>[]> {
  return inTransaction(async (tx) => {
    const names = [...new Set(items.map(({ trigger }) => trigger.job))];
    const keys = items.flatMap(({ key }) => key ?? []);
    const [now, jobs, known] = await Promise.all([
      databaseNow(tx),
      lockTargetJobs(tx, { names }),
      findKeys(tx, keys),
    ]);
    const targets = new Map(jobs.map((job) => [job.name, job]));
    const runs: NewRun[] = [];
    const outcomes = items.map((item) =>
      outcomeOf(() => {
        const earlier = item.key && known.get(item.key.key);
        if (earlier !== undefined) return replay(item, earlier);
        const [run, result] = createRun(item, targets.get(item.trigger.job), now);
        runs.push(run);
        // The same key may come again in this batch.
        if (item.key) known.set(item.key.key, { ...item.key, runId: run.id });
        return result;
      }),
    );
    const created = new Set(runs.map(({ id }) => id));
    const newKeys = [...known.values()].filter(({ runId }) => created.has(runId));
    await Promise.all([
      saveRuns(queue, tx, jobs, runs),
      insertKeys(tx, newKeys, now),
      auditAll(
        tx,
        items.flatMap((item, index) => auditEntry(item, outcomes[index])),
      ),
    ]);
    return outcomes;
  });
}

/** The outcome of one trigger. Only the refusal of a trigger is its outcome; other errors fail the batch. */
function outcomeOf<T>(decide: () => T): Outcome<T> {
  try {
    return { value: decide() };
  } catch (error) {
    if (error instanceof CarillonError) return { error };
    throw error;
  }
}

function replay({ key, caller, trigger }: PendingTrigger, known: KnownKey): TriggerResult {
  if (key?.fingerprint !== known.fingerprint) {
    throw new CarillonError("idempotency_mismatch", "This key belongs to another trigger: use a new key.");
  }
  requireTrigger(caller, trigger.job);
  return { id: known.runId, replayed: true };
}

function createRun(
  { caller, trigger }: PendingTrigger,
  job: TargetJob | undefined,
  now: Date,
): [NewRun, TriggerResult] {
  const { job: name, triggeredBy = "api", env = {}, events } = trigger;
  if (job === undefined) throw jobNotFound(name);
  if (Object.keys(env).length > 0) requireParams(caller, name, job, env);
  if (!job.enabled) throw jobDisabled(name);
  const request = { jobId: job.id, triggeredBy, triggeredAt: now, env, fireEvents: events };
  const run = newRun({ ...request, trigger: "api" }, job);
  return [run, { id: run.id, replayed: false, run: newRunDetail(run, job) }];
}

function auditEntry(
  { caller, trigger }: PendingTrigger,
  outcome: Outcome<TriggerResult> | undefined,
): AuditedChange[] {
  if (outcome === undefined || "error" in outcome) return [];
  const { id: run, replayed } = outcome.value;
  const changes = {
    run,
    env: Object.keys(trigger.env ?? {}),
    ...(trigger.events === false && { events: false }),
    ...(replayed && { replayed: true }),
  };
  return [{ caller, action: "job.trigger", target: trigger.job, changes }];
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

function requireParams(caller: Caller, job: string, { params }: TargetJob, env: object): void {
  if (allows(caller, "admin")) return;
  const refused = Object.keys(env).filter((name) => !params.includes(name));
  if (refused.length === 0) return;
  throw new CarillonError(
    "forbidden",
    `Without the scope admin, a trigger may set only variables in the params of the job, which do not include ${refused.join(", ")}.`,
    refused.map((name) => ({ path: `env.${name}`, message: `is not in the params of job ${job}` })),
  );
}

/**
 * Triggers the job of a run again, with its current definition and the env of that run. Throws run_not_found,
 * job_not_found, job_disabled, queue_full.
 */
export async function rerun({ db, queue }: Infra, caller: Caller, id: string): Promise<string> {
  return db.transaction(async (tx) => {
    await lockJobOfRun(tx, id);
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

/** Locks the job of a run: jobs are locked before runs. */
async function lockJobOfRun(tx: SqlTx, runId: string): Promise<void> {
  await tx.$queryRaw`
    SELECT id FROM job WHERE id = (SELECT job_id FROM run WHERE id = ${runId}::uuid) FOR NO KEY UPDATE`;
}
