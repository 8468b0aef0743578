/** Queries that read single runs and their output; lists are made in run-list.ts. */

import type { Tx } from "../postgres/client.ts";
import type { Prisma } from "../postgres/generated/client.ts";
import type { RunState } from "./rules/states.ts";

const CHILDREN = {
  select: { id: true, state: true, job: { select: { name: true } } },
  orderBy: { id: "asc" },
} as const;

/** What a run in a list shows. */
export const SUMMARY = {
  job: { select: { name: true, schedule: { select: { name: true } } } },
  revision: { select: { retryLimit: true, number: true } },
  events: {
    select: { event: true, attempt: true, refusals: true, children: CHILDREN },
    orderBy: { id: "asc" },
  },
  parentEvent: {
    select: {
      event: true,
      attempt: true,
      ofAttempt: { select: { status: true } },
      run: { select: { id: true, triggeredAt: true, triggeredBy: true, job: { select: { name: true } } } },
    },
  },
} as const;
export type RunSummary = Prisma.RunGetPayload<{ include: typeof SUMMARY }>;

const DETAIL = {
  ...SUMMARY,
  events: {
    select: {
      ...SUMMARY.events.select,
      deliveries: { include: { history: { orderBy: { number: "asc" } } }, orderBy: { id: "asc" } },
    },
    orderBy: { id: "asc" },
  },
  parentEvent: { select: { ...SUMMARY.parentEvent.select, body: true } },
  attempts: { orderBy: { id: "asc" } },
} as const;
export type RunDetail = Prisma.RunGetPayload<{ include: typeof DETAIL }>;

export async function findRun(tx: Tx, id: string): Promise<RunDetail | undefined> {
  return (await tx.run.findUnique({ where: { id }, include: DETAIL })) ?? undefined;
}

const ASKED = {
  env: true,
  fireEvents: true,
  job: { select: { id: true, name: true, deletedAt: true } },
} as const;

/** What a run was asked to do. */
export async function findAsked(
  tx: Tx,
  id: string,
): Promise<Prisma.RunGetPayload<{ select: typeof ASKED }> | undefined> {
  // Retention must not delete it before the run that repeats it points to it.
  await tx.$queryRaw`SELECT 1 AS locked FROM run WHERE id = ${id}::uuid FOR KEY SHARE`;
  return (await tx.run.findUnique({ where: { id }, select: ASKED })) ?? undefined;
}

/** The name of a run's job; undefined when there is no such run. */
export async function jobOfRun(tx: Tx, id: string): Promise<string | undefined> {
  const run = await tx.run.findUnique({ where: { id }, select: { job: { select: { name: true } } } });
  return run?.job.name;
}

/** The state of a run; undefined when there is none. */
export async function runState(tx: Tx, id: string): Promise<RunState | undefined> {
  return (await tx.run.findUnique({ where: { id }, select: { state: true } }))?.state;
}
