/** Reads and writes rows of schedules, with their settings and actions. */
import { ACTION_ROWS, eventAction, numberOrNull, type Page } from "../jobs/find.ts";
import { DEFAULT_SCHEDULE, type EventAction, type ScheduleDefinition } from "../jobs/rules/definition.ts";
import type { Tx } from "../postgres/client.ts";
import type { Prisma } from "../postgres/generated/client.ts";
import { actionRows } from "./write-revisions.ts";

export interface StoredSchedule {
  id: string;
  name: string;
  tzLocation: string | null;
  logRetentionMs: number | null;
  actions: EventAction[];
  createdAt: Date;
  updatedAt: Date;
}

export interface ListedSchedule extends StoredSchedule {
  /** How many live jobs it has. */
  jobs: number;
}

const SCHEDULE_ROWS = {
  actions: ACTION_ROWS,
  _count: { select: { jobs: { where: { deletedAt: null } } } },
} as const;

// Deletion only hides the row, since the runs of deleted jobs still need it. `default` is never deleted.
const LIVE = { deletedAt: null };

/** A page of schedules, in the order of their names. */
export async function findSchedules(tx: Tx, page: Page): Promise<ListedSchedule[]> {
  const rows = await tx.schedule.findMany({
    where: { ...LIVE, ...(page.after === undefined ? {} : { name: { gt: page.after } }) },
    include: SCHEDULE_ROWS,
    orderBy: { name: "asc" },
    take: page.limit,
  });
  return rows.map(storedSchedule);
}

/** The schedule with this name. */
export async function findSchedule(tx: Tx, name: string): Promise<StoredSchedule | undefined> {
  const row = await tx.schedule.findFirst({ where: { ...LIVE, name }, include: SCHEDULE_ROWS });
  return row === null ? undefined : storedSchedule(row);
}

/** The schedule with this id. */
export async function scheduleOf(tx: Tx, id: string): Promise<StoredSchedule> {
  return storedSchedule(await tx.schedule.findUniqueOrThrow({ where: { id }, include: SCHEDULE_ROWS }));
}

/** Creates the schedule if it does not exist. A deleted schedule is restored, without its settings and actions. */
export async function ensureSchedule(tx: Tx, name: string, now: Date): Promise<{ id: string }> {
  await tx.schedule.updateMany({
    where: { name, deletedAt: { not: null } },
    data: { deletedAt: null, tzLocation: null, logRetentionMs: null, createdAt: now, updatedAt: now },
  });
  return tx.schedule.upsert({ where: { name }, create: { name }, update: {}, select: { id: true } });
}

/** Hides a schedule and deletes its actions. Keeps its retention, for its history. Empties `default` instead. */
export async function hideSchedule(tx: Tx, { id, name }: StoredSchedule, now: Date): Promise<void> {
  const data = name === DEFAULT_SCHEDULE ? { tzLocation: null, logRetentionMs: null } : { deletedAt: now };
  await tx.schedule.update({ where: { id }, data: { ...data, updatedAt: now } });
  await tx.eventAction.deleteMany({ where: { scheduleId: id } });
}

/** Replaces the settings and actions of a schedule. */
export async function writeSchedule(
  tx: Tx,
  id: string,
  settings: Pick<ScheduleDefinition, "tzLocation" | "logRetentionMs" | "actions"> & { now: Date },
  jobIds: ReadonlyMap<string, string>,
): Promise<void> {
  await tx.schedule.update({
    where: { id },
    data: {
      tzLocation: settings.tzLocation,
      logRetentionMs: settings.logRetentionMs,
      updatedAt: settings.now,
    },
  });
  await tx.eventAction.deleteMany({ where: { scheduleId: id } });
  await tx.eventAction.createMany({
    data: actionRows(settings.actions, jobIds).map((row) => ({ ...row, scheduleId: id })),
  });
}

function storedSchedule(row: Prisma.ScheduleGetPayload<{ include: typeof SCHEDULE_ROWS }>): ListedSchedule {
  const { id, name, tzLocation, createdAt, updatedAt } = row;
  return {
    id,
    name,
    tzLocation,
    logRetentionMs: numberOrNull(row.logRetentionMs),
    actions: row.actions.map(eventAction),
    createdAt,
    updatedAt,
    jobs: row._count.jobs,
  };
}
