/** The one door to a new run: for the API, cron slots and chains alike. */
import { CarillonError } from "../core/errors.ts";
import { DEFAULT_POOL } from "../core/job.ts";
import type { Trigger } from "../core/run.ts";
import { databaseNow } from "../db/client.ts";
import { findJob } from "../db/definitions.ts";
import { insertRuns, type NewRun } from "../db/runs.ts";
import { currentRevisions } from "../db/slots.ts";
import { attemptQueue } from "../engine/queues.ts";
import { type Deps, newId, type Tx } from "./deps.ts";

/** A trigger by whoever calls the API. */
export interface ApiTrigger {
  job: string;
  /** The caller's own label. */
  triggeredBy?: string | undefined;
  /** Joins the job's env and wins over it. */
  env?: Readonly<Record<string, string>> | undefined;
  /** false: fire no actions. */
  events?: boolean | undefined;
}

/** Creates a run of a job by name; answers its id. Throws job_not_found and job_disabled. */
export async function triggerRun(deps: Deps, trigger: ApiTrigger): Promise<string> {
  return deps.db.transaction(async (tx) => {
    const job = await findJob(tx, trigger.job);
    if (job === undefined) throw new CarillonError("job_not_found", `there is no job ${trigger.job}`);
    const now = await databaseNow(tx);
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
    if (id === undefined) {
      throw new CarillonError(
        "job_disabled",
        `job ${trigger.job} is disabled: save it with enabled: true first`,
      );
    }
    return id;
  });
}

/** A slot of a job that has come. */
export interface DueSlot {
  jobId: string;
  scheduledFor: Date;
}

/** Creates the runs of due slots in one insert; a slot that has its run already makes none. Answers how many. */
export async function triggerSlots(deps: Deps, slots: readonly DueSlot[]): Promise<number> {
  if (slots.length === 0) return 0;
  return deps.db.transaction(async (tx) => {
    const now = await databaseNow(tx);
    // One order for all nodes: two that insert the same slots must not wait for each other in a circle.
    const ordered = slots.toSorted((a, b) => (a.jobId < b.jobId ? -1 : a.jobId > b.jobId ? 1 : 0));
    const due = ordered.map((slot) => ({
      ...slot,
      trigger: "cron" as const,
      triggeredBy: "cron",
      triggeredAt: now,
    }));
    return (await createRuns(deps, tx, due)).length;
  });
}

/** A run to create; the revision is the job's current one. */
export interface RunRequest extends Omit<NewRun, "id" | "revisionId" | "messageId" | "trigger"> {
  trigger: Trigger;
}

/**
 * Creates runs and sends their messages in the caller's transaction; answers the new ids. Jobs that are
 * deleted or disabled, and slots that have their run already, are left out.
 */
export async function createRuns(deps: Deps, tx: Tx, requests: readonly RunRequest[]): Promise<string[]> {
  const revisions = await currentRevisions(tx, [...new Set(requests.map((r) => r.jobId))]);
  const runs = requests.flatMap((request): NewRun[] => {
    const revisionId = revisions.get(request.jobId);
    return revisionId === undefined ? [] : [{ ...request, id: newId(), messageId: newId(), revisionId }];
  });
  if (runs.length === 0) return [];
  const inserted = await insertRuns(tx, runs);
  const created = runs.filter((run) => inserted.has(run.id));
  const messages = created.map((run) => attemptMessage(run.id, run.messageId));
  await deps.engine.send(tx, attemptQueue(DEFAULT_POOL), messages);
  return created.map((run) => run.id);
}

/** The message that lets a worker start the next attempt of a run, now or from a time on. */
export function attemptMessage(runId: string, messageId: string, startAfter?: Date) {
  return { id: messageId, data: { run_id: runId, message_id: messageId }, ...(startAfter && { startAfter }) };
}

/** Sends a run another message. */
export async function sendAttempt(
  deps: Deps,
  tx: Tx,
  message: ReturnType<typeof attemptMessage>,
): Promise<void> {
  await deps.engine.send(tx, attemptQueue(DEFAULT_POOL), [message]);
}
