/** Records the slots of a gap between beats, which did not become runs in time. */
import { setImmediate as letOthersRun } from "node:timers/promises";
import type { Infra } from "../infra.ts";
import { type CronJob, cronJobs, type RevisionInForce, revisionsInForce } from "../jobs/cron-jobs.ts";
import { databaseNow, type Tx } from "../postgres/client.ts";
import {
  decideMissed,
  MAX_MISSED,
  NO_SCHEDULER_REASON,
  type PassedSlot,
  type PassedSlots,
  pausedReason,
} from "../runs/rules/missed.ts";
import { createRuns, type Slot, slotKey } from "../runs/trigger.ts";
import { parseCron } from "../time/cron.ts";
import { countSlots, dueSlots, newestSlots } from "../time/slots.ts";
import { lockProgress } from "./progress.ts";

/** Finds the slots whose job already has a catch-up run for the same slot or for one up to `nearMs` earlier. */
async function slotsNearCatchUp(tx: Tx, slots: readonly Slot[], nearMs: number): Promise<Set<string>> {
  const [jobIds, times] = [slots.map((s) => s.jobId), slots.map((s) => s.scheduledFor?.toISOString())];
  const near = await tx.$queryRaw<{ jobId: string; scheduledFor: Date }[]>`
    SELECT DISTINCT slot.job_id AS "jobId", slot.scheduled_for AS "scheduledFor"
    FROM unnest(${jobIds}::uuid[], ${times}::timestamptz[]) AS slot (job_id, scheduled_for)
    JOIN run ON run.job_id = slot.job_id AND run.trigger = 'catch_up' AND run.scheduled_for <= slot.scheduled_for
      AND run.scheduled_for >= slot.scheduled_for - ${nearMs} * interval '1 millisecond'`;
  return new Set(near.map(slotKey));
}

/** A time in which no scheduler ran. Its slots are those with after < slot <= until. */
export interface Gap {
  after: Date;
  until: Date;
}

/** `isLast`: the job's policy is `last`, which catches up with one run. */
type Row = PassedSlot & { jobId: string; isLast: boolean };

/** How many rows one transaction inserts; more might exceed its time limit. */
const ROWS_AT_ONCE = 500;
const JOBS_AT_ONCE = 200;
/** How much (ms) the ends of one gap may differ between two schedulers that record it. */
const SAME_GAP_MS = 60_000;

/**
 * Records each slot of a gap as a missed run, or creates a catch-up run for it, as the job's `missed_runs` says.
 * @returns how many rows are new
 */
export async function recordGap(
  infra: Infra,
  gap: Gap,
  { defaultTimezone }: { defaultTimezone: string },
): Promise<number> {
  const { prisma } = infra.db;
  const jobs = await cronJobs(prisma);
  const slotsOf = createSlotFinder();
  let recorded = 0;
  let rows: Row[] = [];
  for (let first = 0; first < jobs.length; first += JOBS_AT_ONCE) {
    const some = jobs.slice(first, first + JOBS_AT_ONCE);
    const changed = some.filter((job) => job.since > gap.after).map((job) => job.id);
    const revisions = Map.groupBy(
      changed.length === 0 ? [] : await revisionsInForce(prisma, changed, gap.after),
      (revision) => revision.jobId,
    );
    for (const job of some) {
      const periods = cronPeriodsOf(job, revisions.get(job.id), gap);
      const zoneOf = (timezone: string | null) => timezone ?? job.scheduleTimezone ?? defaultTimezone;
      rows.push(
        ...rowsOf(
          job,
          periods.map((period) => slotsOf(period, zoneOf(period.timezone))),
        ),
      );
      if (rows.length < ROWS_AT_ONCE) continue;
      recorded += await recordRows(infra, rows);
      rows = [];
    }
    await letOthersRun();
  }
  return recorded + (await recordRows(infra, rows));
}

/** A part of a gap in which a job had the same cron expressions. */
interface CronPeriod {
  cron: readonly string[];
  timezone: string | null;
  after: Date;
  /** The catch-up window of the job begins here, or before the period. */
  windowFrom: Date;
  until: Date;
}

/**
 * Splits the gap by the revisions of the job.
 * @param revisions those in force during the gap; undefined: the job has not changed since the gap began
 */
function cronPeriodsOf(
  job: CronJob,
  revisions: readonly RevisionInForce[] | undefined,
  gap: Gap,
): CronPeriod[] {
  const windowFrom = new Date(gap.until.getTime() - job.catchupWindowMs);
  if (revisions === undefined) return [{ ...job, after: gap.after, windowFrom, until: gap.until }];
  return revisions.map(({ cron, timezone, from, until }) => ({
    cron,
    timezone,
    after: new Date(Math.max(from.getTime(), gap.after.getTime())),
    windowFrom,
    until: until !== null && until < gap.until ? until : gap.until,
  }));
}

/** Creates a function that finds the slots of a period. It caches them, because many jobs have equal periods. */
function createSlotFinder(): (period: CronPeriod, zone: string) => PassedSlots {
  const found = new Map<string, PassedSlots>();
  return (period, zone) => {
    const { cron, after, windowFrom, until } = period;
    const key = JSON.stringify([cron, zone, after, windowFrom, until]);
    const known = found.get(key) ?? findSlots(period, zone);
    found.set(key, known);
    return known;
  };
}

function findSlots({ cron, after, windowFrom, until }: CronPeriod, zone: string): PassedSlots {
  const timetable = { crons: cron.map(parseCron), zone };
  const from = new Date(Math.min(Math.max(after.getTime(), windowFrom.getTime()), until.getTime()));
  const slots = newestSlots({ ...timetable, after: from, until, count: MAX_MISSED });
  const [oldest] = slots;
  const isFull = slots.length === MAX_MISSED && oldest !== undefined;
  const older = { ...timetable, after, until: isFull ? new Date(oldest.getTime() - 1) : from };
  const [[first], [last]] = [dueSlots({ ...older, limit: 1 }), newestSlots({ ...older, count: 1 })];
  if (first === undefined || last === undefined) return { slots, older: undefined };
  return { slots, older: { count: countSlots(older), first, last } };
}

function rowsOf({ id, missedRuns: policy, since, paused }: CronJob, passed: readonly PassedSlots[]): Row[] {
  const rule = { policy, since, paused: paused === null ? undefined : pausedReason(paused) };
  return decideMissed(passed, rule).map((slot) => ({ ...slot, jobId: id, isLast: policy === "last" }));
}

async function recordRows({ db, queue }: Infra, rows: readonly Row[]): Promise<number> {
  if (rows.length === 0) return 0;
  return db.transaction(async (tx) => {
    // When two schedulers record the same gap, the second one waits here and then sees the rows of the first.
    await lockProgress(tx);
    const triggeredAt = await databaseNow(tx);
    const last = rows.filter((row) => row.catchUp && row.isLast);
    const done = await slotsNearCatchUp(tx, last, SAME_GAP_MS);
    const requests = rows.map(({ jobId, scheduledFor, catchUp, reason, isLast }) => {
      const slot = { jobId, scheduledFor, triggeredAt, reason };
      if (catchUp && !(isLast && done.has(slotKey(slot)))) {
        return { ...slot, trigger: "catch_up", triggeredBy: "catch_up" } as const;
      }
      return {
        ...slot,
        trigger: "cron",
        triggeredBy: "cron",
        missed: reason ?? NO_SCHEDULER_REASON,
      } as const;
    });
    return (await createRuns(queue, tx, requests)).length;
  });
}
