/** Starts an attempt: records it, and returns what the worker needs to run it. */
import { setTimeout as delay } from "node:timers/promises";
import type { SecretKeys } from "../access/secret-keys.ts";
import { secretValues } from "../access/secrets.ts";
import { CarillonError, OperatorError, withinSentence } from "../errors.ts";
import type { Infra } from "../infra.ts";
import { type Command, DEFAULT_LOG_LIMIT_BYTES } from "../jobs/rules/definition.ts";
import { CommitUnknown, type Database, type SqlTx } from "../postgres/client.ts";
import { isDatabaseAway } from "../postgres/failures.ts";
import { newId } from "../postgres/ids.ts";
import { type AttemptMessage, claimTimeLeftMs, RENEW_EVERY_MS } from "../queue/messages.ts";
import { ClaimLost, type Message } from "../queue/queue.ts";
import { publish } from "../queue/signals.ts";
import { runStatesBefore } from "./rules/states.ts";

/** What a worker needs to run an attempt. */
export interface AttemptOrder {
  runId: string;
  attemptId: string;
  command: Command;
  /** The env of the job; that of the trigger overrides it, and the CARILLON_ variables override both. */
  env: Record<string, string>;
  workingDirectory: string | null;
  /** The user that runs the command; null: the user of the service. */
  user: string | null;
  timeoutMs: number | null;
  /** How many bytes of the output are kept. */
  logLimitBytes: number;
  /** Values to redact in the output. */
  secrets: readonly string[];
  /** Set when the command cannot run: the reason. */
  problem?: string;
}

/** Wait (ms) before the database is asked again for the result of a commit. */
const ASK_AGAIN_MS = 500;

/** A claimed message, and what its worker needs to run the attempt. */
export interface ClaimedAttempt {
  message: Message<AttemptMessage>;
  /** Undefined: the attempt could not be started together with the claim; {@link startAttempt} does it. */
  order: AttemptOrder | undefined;
}

/**
 * Claims up to `count` messages and starts their attempts, in one transaction. A run that is locked, or is not waiting
 * for its message, is left to `startAttempt`, so that the claims wait for no lock.
 */
export async function claimAttempts(
  infra: Infra,
  {
    queueName,
    count,
    worker,
    secretKeys,
  }: { queueName: string; count: number; worker: string; secretKeys: SecretKeys },
): Promise<ClaimedAttempt[]> {
  const { db, queue } = infra;
  let claimed: { message: Message<AttemptMessage>; run: StartedRun | undefined }[] = [];
  const claim = async (tx: SqlTx) => {
    const messages = await queue.claim<AttemptMessage>(queueName, count, tx);
    const started = await startRuns(tx, messages, worker);
    claimed = messages.map((message) => ({ message, run: started.get(message.data.run_id) }));
    messages.forEach(requireTime);
  };
  try {
    await db.sqlTransaction(claim);
  } catch (error) {
    if (!(error instanceof CommitUnknown) || !(await wereStarted(db, claimed))) throw error;
  }
  const orderOf = (run: StartedRun) =>
    // `startAttempt` finds the attempt and tries again, for longer.
    withSecrets(db, sealedOrder(run), secretKeys).catch(() => undefined);
  return Promise.all(
    claimed.map(async ({ message, run }) => ({ message, order: run && (await orderOf(run)) })),
  );
}

/** Whether a commit whose answer was lost has happened. Asks again while the database is away and the claims last. */
async function wereStarted(
  db: Database,
  claimed: readonly { message: Message<AttemptMessage>; run: StartedRun | undefined }[],
): Promise<boolean> {
  const ids = claimed.flatMap(({ run }) => run?.attemptId ?? []);
  for (;;) {
    try {
      const found = await db.prisma.attempt.count({ where: { id: { in: ids } } });
      return found > 0;
    } catch (error) {
      if (!isDatabaseAway(error)) throw error;
      for (const { message } of claimed) requireTime(message);
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
  { secretKeys }: { secretKeys: SecretKeys },
): Promise<AttemptOrder | undefined> {
  // Not a transaction of the hot path: this one may wait for a lock.
  const run = await db.transaction(async (tx) => {
    const { run_id: runId } = message.data;
    await tx.$queryRaw`SELECT 1 AS locked FROM run WHERE id = ${runId}::uuid FOR UPDATE`;
    const earlier = await startedEarlier(tx, message);
    if (earlier !== undefined) return earlier;
    const started = (await startRuns(tx, [message], worker)).get(runId);
    if (started === undefined) await queue.acknowledge(tx, message);
    else requireTime(message);
    return started;
  });
  return run && withSecrets(db, sealedOrder(run), secretKeys);
}

/** An order whose secrets are not decrypted yet. */
interface SealedOrder extends Omit<AttemptOrder, "env" | "secrets" | "problem"> {
  jobEnv: Readonly<Record<string, string>>;
  secretEnv: Readonly<Record<string, string>>;
  /** Overrides the other two; undefined removes a variable. */
  runEnv: Readonly<Record<string, string | undefined>>;
}

/** A run whose attempt has started, with the parts of its revision that the command needs. */
interface StartedRun {
  id: string;
  attemptId: string;
  job: string;
  attempt: number;
  scheduledFor: Date | null;
  triggeredBy: string;
  parentRunId: string | null;
  runEnv: Readonly<Record<string, string>>;
  shell: boolean;
  command: string[];
  jobEnv: Readonly<Record<string, string>>;
  secretEnv: Readonly<Record<string, string>>;
  workingDirectory: string | null;
  user: string | null;
  timeoutMs: number | null;
  logLimitBytes: number | null;
}

/**
 * Makes the runs that wait for their messages `running`, and inserts their attempts. Returns the runs by id; runs in
 * other states, with other messages or locked by others are left out.
 */
async function startRuns(
  tx: SqlTx,
  messages: readonly Message<AttemptMessage>[],
  worker: string,
): Promise<Map<string, StartedRun>> {
  if (messages.length === 0) return new Map();
  const rows = await tx.$queryRaw<StartedRun[]>`
    WITH claimed AS (
      SELECT * FROM unnest(${messages.map(({ data }) => data.run_id)}::uuid[],
        ${messages.map(({ id }) => id)}::uuid[], ${messages.map(newId)}::uuid[]) AS m (run_id, message_id, attempt_id)
    ), ready AS (
      SELECT run.id, claimed.attempt_id FROM run JOIN claimed ON claimed.run_id = run.id
      WHERE run.message_id = claimed.message_id AND run.state::text = ANY(${runStatesBefore("running")}::text[])
      FOR UPDATE OF run SKIP LOCKED
    ), started AS (
      UPDATE run SET state = 'running', started_at = coalesce(run.started_at, now()), next_attempt_at = NULL
      FROM ready WHERE run.id = ready.id
      RETURNING run.*, ready.attempt_id AS "attemptId"
    ), inserted AS (
      INSERT INTO attempt (id, run_id, number, claim, worker, started_at)
      SELECT "attemptId", id, attempt,
        (SELECT count(*) FROM attempt a WHERE a.run_id = started.id AND a.number = started.attempt), ${worker}, now()
      FROM started
    )
    SELECT started.id, "attemptId", started.attempt, started.scheduled_for AS "scheduledFor",
      started.triggered_by AS "triggeredBy", parent.run_id AS "parentRunId", started.env AS "runEnv", j.name AS job,
      r.shell, r.command, r.env AS "jobEnv", r.secret_env AS "secretEnv", r.working_directory AS "workingDirectory",
      r."user", r.timeout_ms AS "timeoutMs", r.log_limit_bytes AS "logLimitBytes"
    FROM started JOIN job j ON j.id = started.job_id JOIN job_revision r ON r.id = started.revision_id
    LEFT JOIN run_event parent ON parent.id = started.parent_event_id`;
  for (const { id } of rows) publish(tx, { type: "run_changed", run: id });
  return new Map(rows.map((row) => [row.id, row]));
}

/** Finds the attempt that an earlier call under the same claim started: no message is claimed twice. */
async function startedEarlier(tx: SqlTx, message: Message<AttemptMessage>): Promise<StartedRun | undefined> {
  const [row] = await tx.$queryRaw<StartedRun[]>`
    SELECT run.id, a.id AS "attemptId", run.attempt, run.scheduled_for AS "scheduledFor",
      run.triggered_by AS "triggeredBy", parent.run_id AS "parentRunId", run.env AS "runEnv", j.name AS job,
      r.shell, r.command, r.env AS "jobEnv", r.secret_env AS "secretEnv", r.working_directory AS "workingDirectory",
      r."user", r.timeout_ms AS "timeoutMs", r.log_limit_bytes AS "logLimitBytes"
    FROM run JOIN attempt a ON a.run_id = run.id AND a.state = 'running'
    JOIN job j ON j.id = run.job_id JOIN job_revision r ON r.id = run.revision_id
    LEFT JOIN run_event parent ON parent.id = run.parent_event_id
    WHERE run.id = ${message.data.run_id}::uuid AND run.message_id = ${message.id}::uuid AND run.state = 'running'`;
  return row;
}

/** Throws ClaimLost when the claim does not last until its next renewal: waiting for locks may have taken long. */
function requireTime({ id, claimedAt }: Message<AttemptMessage>): void {
  if (claimTimeLeftMs(claimedAt) >= RENEW_EVERY_MS) return;
  throw new ClaimLost(`the claim of message ${id} is about to end`);
}

function sealedOrder(run: StartedRun): SealedOrder {
  const { id: runId, attemptId, shell, command: words, jobEnv, secretEnv } = run;
  const command: Command = shell ? { kind: "shell", text: words[0] ?? "" } : { kind: "argv", argv: words };
  const { workingDirectory, user, timeoutMs } = run;
  return {
    ...{ runId, attemptId, command, jobEnv, secretEnv, workingDirectory, user, timeoutMs },
    runEnv: { ...run.runEnv, ...attemptEnv(run) },
    logLimitBytes: run.logLimitBytes ?? DEFAULT_LOG_LIMIT_BYTES,
  };
}

/** Decrypts the secrets. This reads the key file, so it happens outside the transaction. */
async function withSecrets(db: Database, sealed: SealedOrder, secretKeys: SecretKeys): Promise<AttemptOrder> {
  const { jobEnv, secretEnv, runEnv, ...order } = sealed;
  try {
    const values = await secretValues(db.prisma, [...new Set(Object.values(secretEnv))], { secretKeys });
    const secret = Object.entries(secretEnv).map(([variable, name]) => [variable, values.get(name)] as const);
    const env = definedOnly({ ...jobEnv, ...Object.fromEntries(secret), ...runEnv });
    return { ...order, env, secrets: [...values.values()] };
  } catch (error) {
    if (!(error instanceof CarillonError || error instanceof OperatorError)) throw error;
    return { ...order, env: {}, secrets: [], problem: withinSentence(error.message) };
  }
}

/** Variables that describe the run to its command; the value undefined removes a variable of the same name. */
function attemptEnv(run: StartedRun): Record<string, string | undefined> {
  return {
    CARILLON_RUN_ID: run.id,
    CARILLON_JOB: run.job,
    CARILLON_ATTEMPT: String(run.attempt),
    CARILLON_SCHEDULED_FOR: run.scheduledFor?.toISOString(),
    CARILLON_TRIGGERED_BY: run.triggeredBy,
    CARILLON_PARENT_RUN_ID: run.parentRunId ?? undefined,
  };
}

function definedOnly(env: Record<string, string | undefined>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
}
