/** Whether this process can do its work, and what keeps it from it. */
import { type Health, within } from "../lifecycle.ts";
import type { Database } from "../postgres/client.ts";
import type { SchedulerNumbers } from "../scheduler/overdue.ts";

/** A database that takes longer (ms) does not answer. */
const PATIENCE_MS = 2_000;
/** The oldest slot may be so late (ms) before its schedulers are not ready. */
const LATE_SLOT_MS = 5_000;
const SILENT = "database: does not answer";

export interface Readiness {
  /** What is not ready, and why; empty when all is. */
  notReady: string[];
  /** The long-running parts of this process. */
  parts: Health[];
  scheduler: SchedulerNumbers;
}

/** Makes the function that looks; it answers within 2 s, whatever the database does. */
export function createReadiness(options: {
  db: Database;
  /** Of the parts of this process. */
  health: () => Health[];
  /** The scheduler of this process, if it is one. */
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
    const [database, seen] = await within(looked, PATIENCE_MS, "the look at the database").catch(
      () => [[SILENT], own()] as const,
    );
    const parts = health();
    const late = parts.filter(({ isLate }) => isLate).map(noSuccess);
    // Slots that are overdue are the fault of those processes that are schedulers.
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
    // Anybody may read this without a token: the cause stands in the log of whatever else needs the database.
    return [SILENT];
  }
}

function noSuccess({ name, sinceSuccessMs }: Health): string {
  return `${name}: no success for ${seconds(sinceSuccessMs)} s`;
}

function seconds(ms: number): number {
  return Math.round(ms / 1_000);
}
