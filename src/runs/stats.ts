/** Reads what goes on, in numbers. */

import type { Deps } from "../deps.ts";
import type { RunState } from "./rules/states.ts";
import {
  type ActiveRuns,
  countActiveRuns,
  countDeliveries,
  countEndedRuns,
  countJobs,
} from "./stats-rows.ts";

const RECENT_MS = 24 * 3_600_000;

export interface Stats {
  now: Date;
  active: ActiveRuns;
  /** Runs that ended in the last 24 h. */
  ended: Map<RunState, number>;
  /** All pending ones; of the others those made in the last 24 h. */
  deliveries: Awaited<ReturnType<typeof countDeliveries>>;
  jobs: Awaited<ReturnType<typeof countJobs>>;
}

export async function readStats({ db }: Deps): Promise<Stats> {
  const now = await db.now();
  const since = new Date(now.getTime() - RECENT_MS);
  const active = await countActiveRuns(db.prisma);
  const ended = await countEndedRuns(db.prisma, since);
  const deliveries = await countDeliveries(db.prisma, since);
  return { now, active, ended, deliveries, jobs: await countJobs(db.prisma) };
}
