/** Claims messages and starts their attempts. */
import { setTimeout as delay } from "node:timers/promises";
import type { Infra } from "../infra.ts";
import { CommitUnknown, type Database, type SqlTx } from "../postgres/client.ts";
import { isTransient } from "../postgres/failures.ts";
import { newId } from "../postgres/ids.ts";
import { type AttemptMessage, claimTimeLeftMs, RENEW_EVERY_MS } from "../queue/messages.ts";
import { ClaimLost, type Message } from "../queue/queue.ts";
import { publish } from "../queue/signals.ts";
import type { StartedRun } from "./attempt-order.ts";
import { runStatesBefore } from "./rules/states.ts";

/** Wait (ms) before the database is asked again for the result of a commit. */
const ASK_AGAIN_MS = 500;

/** A claimed message. */
export interface ClaimedAttempt {
  message: Message<AttemptMessage>;
  /** Undefined: the attempt could not be started together with the claim; {@link startAttempt} does it. */
  run: StartedRun | undefined;
}

/**
 * Claims up to `count` messages and starts their attempts, in one transaction. A run that is locked, or is not waiting
 * for its message, is left to `startAttempt`, so that the claims wait for no lock.
 */
export async function claimAttempts(
  { db, queue }: Infra,
  { queueName, count, worker }: { queueName: string; count: number; worker: string },
): Promise<ClaimedAttempt[]> {
  let messages: Message<AttemptMessage>[] = [];
  let attemptIds: string[] = [];
  const claim = async (tx: SqlTx, commitNow: () => void) => {
    messages = await queue.claim<AttemptMessage>(queueName, count, tx);
    messages.forEach(requireTime);
    attemptIds = messages.map(newId);
    const starting = startRuns(tx, messages, attemptIds, worker);
    commitNow();
    return starting;
  };
  let started: Map<string, StartedRun>;
  try {
    started = await db.sqlTransaction(claim);
  } catch (error) {
    if (!(error instanceof CommitUnknown)) throw error;
    started = await findStarted(db, messages, attemptIds);
    if (started.size === 0) throw error;
  }
  return messages.map((message) => ({ message, run: started.get(message.id) }));
}

/**
 * Finds the attempts that a commit has started whose answer was lost. Asks again while the database is away and the
 * claims last.
 */
async function findStarted(
  db: Database,
  messages: readonly Message<AttemptMessage>[],
  attemptIds: readonly string[],
): Promise<Map<string, StartedRun>> {
  for (;;) {
    try {
      const rows = await db.sqlRead((tx) => readStartedRuns(tx, messages));
      const ours = rows.filter(({ attemptId }) => attemptIds.includes(attemptId));
      return new Map(ours.map((row) => [row.messageId, { ...row, isNew: true }]));
    } catch (error) {
      if (!isTransient(error)) throw error;
      messages.forEach(requireTime);
      await delay(ASK_AGAIN_MS);
    }
  }
}

/**
 * Records that `worker` starts the attempt of a message. The holder of the claim may repeat the call if its result was
 * lost. Throws ClaimLost and changes nothing when the claim is no longer ours or is about to end: another worker can
 * then start the attempt, which does not count as failed.
 * @returns undefined when the run no longer waits for this message; the message is then acknowledged
 */
export async function startAttempt(
  { db, queue }: Infra,
  message: Message<AttemptMessage>,
  worker: string,
): Promise<StartedRun | undefined> {
  // Not a transaction of the hot path: this one may wait for a lock.
  return db.transaction(async (tx) => {
    const { run_id: runId } = message.data;
    await tx.$queryRaw`SELECT 1 AS locked FROM run WHERE id = ${runId}::uuid FOR UPDATE`;
    const started = (await startRuns(tx, [message], [newId()], worker)).get(message.id);
    if (started === undefined) await queue.acknowledge(tx, message);
    // An earlier call under the same claim may have started the attempt, and its result was lost.
    else if (started.isNew) requireTime(message);
    return started;
  });
}

/**
 * Makes the runs that wait for their messages `running`, and inserts their attempts. Returns the runs by message,
 * also those that an earlier call started under the same claim, because no message is claimed twice. Runs in other
 * states, with other messages or locked by others are left out.
 */
async function startRuns(
  tx: SqlTx,
  messages: readonly Message<AttemptMessage>[],
  attemptIds: readonly string[],
  worker: string,
): Promise<Map<string, StartedRun>> {
  if (messages.length === 0) return new Map();
  const [, rows] = await Promise.all([
    startWaitingRuns(tx, messages, attemptIds, worker),
    readStartedRuns(tx, messages),
  ]);
  const runs = rows.map((row) => ({ ...row, isNew: attemptIds.includes(row.attemptId) }));
  for (const { id, isNew } of runs) if (isNew) publish(tx, { type: "run_changed", run: id });
  return new Map(runs.map((run) => [run.messageId, run]));
}

async function startWaitingRuns(
  tx: SqlTx,
  messages: readonly Message<AttemptMessage>[],
  attemptIds: readonly string[],
  worker: string,
): Promise<void> {
  await tx.$executeRaw`
    WITH claimed AS (
      SELECT * FROM unnest(${messages.map(({ data }) => data.run_id)}::uuid[],
        ${messages.map(({ id }) => id)}::uuid[], ${[...attemptIds]}::uuid[]) AS m (run_id, message_id, attempt_id)
    ), ready AS (
      SELECT run.id, claimed.attempt_id FROM run JOIN claimed ON claimed.run_id = run.id
      WHERE run.id = ANY(${messages.map(({ data }) => data.run_id)}::uuid[]) AND run.message_id = claimed.message_id
        AND run.state::text = ANY(${runStatesBefore("running")}::text[])
      FOR UPDATE OF run SKIP LOCKED
    ), started AS (
      UPDATE run SET state = 'running', started_at = coalesce(run.started_at, now()), next_attempt_at = NULL
      FROM ready WHERE run.id = ANY(${messages.map(({ data }) => data.run_id)}::uuid[]) AND run.id = ready.id
      RETURNING run.id, run.attempt, ready.attempt_id
    )
    INSERT INTO attempt (id, run_id, number, claim, worker, started_at)
    SELECT attempt_id, id, attempt,
      (SELECT count(*) FROM attempt a WHERE a.run_id = started.id AND a.number = started.attempt), ${worker}, now()
    FROM started`;
}

/** Reads the runs that are running under these messages. */
async function readStartedRuns(
  tx: SqlTx,
  messages: readonly Message<AttemptMessage>[],
): Promise<Omit<StartedRun, "isNew">[]> {
  return tx.$queryRaw`
    SELECT run.id, run.message_id AS "messageId", a.id AS "attemptId", run.attempt, run.scheduled_for AS "scheduledFor",
      run.triggered_by AS "triggeredBy", parent.run_id AS "parentRunId", run.env AS "runEnv", j.name AS job,
      r.shell, r.command, r.env AS "jobEnv", r.secret_env AS "secretEnv", r.working_directory AS "workingDirectory",
      r."user", r.timeout_ms AS "timeoutMs", r.log_limit_bytes AS "logLimitBytes"
    FROM run JOIN attempt a ON a.run_id = run.id AND a.state = 'running'
    JOIN job j ON j.id = run.job_id JOIN job_revision r ON r.id = run.revision_id
    LEFT JOIN run_event parent ON parent.id = run.parent_event_id
    WHERE run.id = ANY(${messages.map(({ data }) => data.run_id)}::uuid[])
      AND run.message_id = ANY(${messages.map(({ id }) => id)}::uuid[]) AND run.state = 'running'`;
}

/** Throws ClaimLost when the claim does not last until its next renewal: waiting for locks may have taken long. */
function requireTime({ id, claimedAt }: Message<AttemptMessage>): void {
  if (claimTimeLeftMs(claimedAt) >= RENEW_EVERY_MS) return;
  throw new ClaimLost(`the claim of message ${id} is about to end`);
}
