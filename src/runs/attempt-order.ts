/** The order of an attempt: what a worker needs to run its command. */
import type { SecretKeys } from "../access/secret-keys.ts";
import { secretValues } from "../access/secrets.ts";
import { CarillonError, OperatorError, withinSentence } from "../errors.ts";
import { type Command, DEFAULT_LOG_LIMIT_BYTES } from "../jobs/rules/definition.ts";
import type { Database } from "../postgres/client.ts";

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

/** A run whose attempt has started, with the parts of its revision that the command needs. */
export interface StartedRun {
  id: string;
  /** The message under which it is running. */
  messageId: string;
  /** Whether this call has started it. */
  isNew: boolean;
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

/** Makes the order of a started run. This decrypts secrets and reads the key file, so it happens outside transactions. */
export function orderOf(db: Database, run: StartedRun, secretKeys: SecretKeys): Promise<AttemptOrder> {
  return withSecrets(db, sealedOrder(run), secretKeys);
}

/** An order whose secrets are not decrypted yet. */
interface SealedOrder extends Omit<AttemptOrder, "env" | "secrets" | "problem"> {
  jobEnv: Readonly<Record<string, string>>;
  secretEnv: Readonly<Record<string, string>>;
  /** Overrides the other two; undefined removes a variable. */
  runEnv: Readonly<Record<string, string | undefined>>;
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
