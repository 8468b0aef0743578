/** Tells whether this process can do its work, and if not, why. */
import { type Health, withTimeout } from "../lifecycle.ts";
import type { Database } from "../postgres/client.ts";
import type { SchedulerNumbers } from "../scheduler/overdue.ts";

/** The time limit (ms) for a response of the database. */
const PATIENCE_MS = 2_000;
/** A scheduler is not ready when the oldest slot is overdue for longer than this (ms). */
const LATE_SLOT_MS = 5_000;
const SILENT = "database: does not answer";

export interface Readiness {
  /** One line for each part that is not ready, with the reason; empty when the process is ready. */
  notReady: string[];
  /** The long-running parts of this process. */
  parts: Health[];
  scheduler: SchedulerNumbers;
}

/** Creates the readiness check; it resolves within 2 s, even when the database does not answer. */
export function createReadiness(options: {
  db: Database;
  /** Returns the health of the long-running parts of this process. */
  health: () => Health[];
  /** The scheduler of this process; undefined when the process has none. */
  scheduler: { sinceLastBeat(): number; beatLateness(): number } | undefined;
  numbers: () => Promise<SchedulerNumbers>;
}): () => Promise<Readiness> {
  const { db, health, scheduler, numbers } = options;
  const own = (): SchedulerNumbers => ({
    sinceLastBeat: scheduler?.sinceLastBeat() ?? null,
    beatLateness: scheduler?.beatLateness() ?? null,
    oldestOverdue: null,
  });
  return async () => {
    const looked = Promise.all([pendingMigrations(db), numbers().catch(own)]);
    const [database, seen] = await withTimeout(looked, PATIENCE_MS, "the look at the database").catch(
      () => [[SILENT], own()] as const,
    );
    const parts = health();
    const late = parts.filter(({ isLate }) => isLate).map(noSuccess);
    // Only processes with a scheduler are responsible for overdue slots.
    const overdue = scheduler === undefined ? 0 : (seen.oldestOverdue ?? 0);
    const slots =
      overdue > LATE_SLOT_MS ? [`scheduler: the oldest slot is ${seconds(overdue)} s overdue`] : [];
    return { notReady: [...database, ...late, ...slots], parts, scheduler: seen };
  };
}

async function pendingMigrations(db: Database): Promise<string[]> {
  try {
    const pending = await db.pendingMigrations();
    return pending.length > 0 ? ["migrations: not applied"] : [];
  } catch {
    // This response needs no token, so it leaves out the cause. Other users of the database log it.
    return [SILENT];
  }
}

function noSuccess({ name, sinceSuccessMs }: Health): string {
  return `${name}: no success for ${seconds(sinceSuccessMs)} s`;
}

function seconds(ms: number): number {
  return Math.round(ms / 1_000);
}
