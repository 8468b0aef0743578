/** Starts an attempt: records it, and returns what the worker needs to run it. */
import type { SecretKeys } from "../access/secret-keys.ts";
import { secretValues } from "../access/secrets.ts";
import { CarillonError, OperatorError } from "../errors.ts";
import type { Infra } from "../infra.ts";
import { definitionOf } from "../jobs/find.ts";
import type { Command } from "../jobs/rules/definition.ts";
import { type Database, databaseNow, type Tx } from "../postgres/client.ts";
import { newId } from "../postgres/ids.ts";
import { type AttemptMessage, claimTimeLeftMs, RENEW_EVERY_MS } from "../queue/messages.ts";
import { ClaimLost, type Message } from "../queue/queue.ts";
import { publish } from "../queue/signals.ts";
import { type LockedRun, lockRun, moveRun, runningAttempt } from "./transitions.ts";

async function moveToRunning(tx: Tx, run: { id: string; startedAt: Date }): Promise<void> {
  await moveRun(tx, run.id, "running", { startedAt: run.startedAt, nextAttemptAt: null });
}

async function insertAttempt(
  tx: Tx,
  attempt: { id: string; runId: string; number: number; worker: string; startedAt: Date },
): Promise<void> {
  const claim = await tx.attempt.count({ where: { runId: attempt.runId, number: attempt.number } });
  await tx.attempt.create({ data: { ...attempt, claim } });
}

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

/**
 * Records that `worker` starts the attempt of a message. The holder of the claim may repeat the call if its result was
 * lost. Throws ClaimLost and changes nothing when the claim is no longer ours or is about to end: another worker can
 * then start the attempt, which does not count as failed.
 * @returns undefined when the run no longer waits for this message; the message is then acknowledged
 */
export async function startAttempt(
  infra: Infra,
  message: Message<AttemptMessage>,
  worker: string,
  { secretKeys }: { secretKeys: SecretKeys },
): Promise<AttemptOrder | undefined> {
  const sealed = await recordStart(infra, message, worker);
  return sealed && withSecrets(infra.db, sealed, secretKeys);
}

/** An order whose secrets are not decrypted yet. */
interface SealedOrder extends Omit<AttemptOrder, "env" | "secrets" | "problem"> {
  jobEnv: Readonly<Record<string, string>>;
  secretEnv: Readonly<Record<string, string>>;
  /** Overrides the other two; undefined removes a variable. */
  runEnv: Readonly<Record<string, string | undefined>>;
}

async function recordStart(
  { db, queue }: Infra,
  message: Message<AttemptMessage>,
  worker: string,
): Promise<SealedOrder | undefined> {
  return db.transaction(async (tx) => {
    const run = await lockRun(tx, message.data.run_id);
    const attemptId = run?.messageId === message.id ? await attemptOf(tx, run, message, worker) : undefined;
    if (run === undefined || attemptId === undefined) {
      await queue.acknowledge(tx, message);
      return undefined;
    }
    const definition = definitionOf(run.revision);
    const { command, env: jobEnv, secretEnv, workingDirectory, user, timeoutMs, logLimitBytes } = definition;
    const runEnv = { ...(run.env as Record<string, string>), ...attemptEnv(run) };
    const env = { jobEnv, secretEnv, runEnv };
    return { runId: run.id, attemptId, command, ...env, workingDirectory, user, timeoutMs, logLimitBytes };
  });
}

/** Starts the attempt of a locked run, or finds the one that an earlier call under the same claim started. */
async function attemptOf(
  tx: Tx,
  run: LockedRun,
  message: Message<AttemptMessage>,
  worker: string,
): Promise<string | undefined> {
  // No message is claimed twice, so an earlier call of ours committed and its result was lost.
  if (run.state === "running") return (await runningAttempt(tx, run.id))?.id;
  if (run.state !== "queued" && run.state !== "retrying") return undefined;
  const now = await databaseNow(tx);
  const id = newId();
  await moveToRunning(tx, { id: run.id, startedAt: run.startedAt ?? now });
  await insertAttempt(tx, { id, runId: run.id, number: run.attempt, worker, startedAt: now });
  await publish(tx, { type: "run_changed", run: run.id });
  // Waiting for locks may have taken long. The claim must last until its next renewal.
  if (claimTimeLeftMs(message.claimedAt) < RENEW_EVERY_MS) {
    throw new ClaimLost(`the claim of message ${message.id} is about to end`);
  }
  return id;
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
    return { ...order, env: {}, secrets: [], problem: error.message };
  }
}

/** Variables that describe the run to its command; the value undefined removes a variable of the same name. */
function attemptEnv(run: LockedRun): Record<string, string | undefined> {
  return {
    CARILLON_RUN_ID: run.id,
    CARILLON_JOB: run.job.name,
    CARILLON_ATTEMPT: String(run.attempt),
    CARILLON_SCHEDULED_FOR: run.scheduledFor?.toISOString(),
    CARILLON_TRIGGERED_BY: run.triggeredBy,
    CARILLON_PARENT_RUN_ID: run.parentEvent?.runId,
  };
}

function definedOnly(env: Record<string, string | undefined>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
}
