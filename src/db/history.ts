/** Queries that read the history: runs with what belongs to them. */
import type { RunState } from "../core/run.ts";
import type { Tx } from "./client.ts";
import type { Prisma } from "./generated/client.ts";

const CHILDREN = {
  select: { id: true, state: true, job: { select: { name: true } } },
  orderBy: { id: "asc" },
} as const;

const SUMMARY = {
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

/** Which runs to list. */
export interface RunFilter {
  job?: string | undefined;
  states?: readonly RunState[] | undefined;
}

/** Runs newest first, from before `beforeId` on. */
export async function listRuns(
  tx: Tx,
  filter: RunFilter,
  page: { beforeId?: string | undefined; limit: number },
): Promise<RunSummary[]> {
  return tx.run.findMany({
    where: {
      ...(filter.job !== undefined && { job: { name: filter.job } }),
      ...(filter.states !== undefined && { state: { in: [...filter.states] } }),
      ...(page.beforeId !== undefined && { id: { lt: page.beforeId } }),
    },
    include: SUMMARY,
    orderBy: { id: "desc" },
    take: page.limit,
  });
}

export async function findRun(tx: Tx, id: string): Promise<RunDetail | undefined> {
  return (await tx.run.findUnique({ where: { id }, include: DETAIL })) ?? undefined;
}

/** The state of a run; undefined when there is none. */
export async function runState(tx: Tx, id: string): Promise<RunState | undefined> {
  return (await tx.run.findUnique({ where: { id }, select: { state: true } }))?.state;
}

/** Whether there was ever a job of this name. */
export async function jobHasExisted(tx: Tx, name: string): Promise<boolean> {
  return (await tx.job.findFirst({ where: { name }, select: { id: true } })) !== null;
}

/** An attempt's output: its pieces in order, and how many bytes were cut out. */
export interface AttemptOutput {
  bytes: Uint8Array;
  omittedBytes: bigint;
}

export async function readOutput(tx: Tx, attemptId: string): Promise<AttemptOutput> {
  const pieces = await tx.attemptLog.findMany({ where: { attemptId }, orderBy: { sequence: "asc" } });
  return {
    bytes: Buffer.concat(pieces.map((piece) => piece.bytes)),
    omittedBytes: pieces.reduce((sum, piece) => sum + piece.omittedBytes, 0n),
  };
}
