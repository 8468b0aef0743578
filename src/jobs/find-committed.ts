/** Reads one job for each of many concurrent callers, and reads each revision only once. */
import type { Database } from "../postgres/client.ts";
import { createCoalescer } from "../postgres/coalescer.ts";
import { type FixedParts, findHeads, findJobs, type JobHead, type StoredJob, withHead } from "./find.ts";

/** The most jobs in one read. */
const JOBS_AT_ONCE = 100;

/**
 * The live job with this name, outside of a transaction. Calls that arrive while a read is under way share the next
 * one. Each read begins after its calls, so a caller sees everything that was committed before. Callers share the
 * definition and must not change it; it is the same object until a save changes the job.
 */
export const findCommittedJob: (db: Database, name: string) => Promise<StoredJob | undefined> =
  createCoalescer(findTogether, JOBS_AT_ONCE, (db, name) => findTogether(db, [name]));

/** By the ids of committed revisions. A revision never changes, so these parts stay true. */
const fixedParts = new Map<string, FixedParts>();
/** The most revisions that are kept; the one that was read first gives way. */
const MOST_KEPT = 1_000;
/** A longer definition, in characters of JSON, is read each time, so that all that are kept take some megabytes. */
const MAX_KEPT_LENGTH = 16_384;

async function findTogether(db: Database, names: readonly string[]) {
  const jobs = await db.sqlRead(async (tx) => {
    const heads = await findHeads(tx, [...new Set(names)]);
    const known = heads.flatMap((head) => knownJob(head) ?? []);
    if (known.length === heads.length) return known;
    const ids = new Set(known.map(({ id }) => id));
    const unknown = heads.filter(({ id }) => !ids.has(id)).map(({ name }) => name);
    const read = await findJobs(tx, unknown);
    read.forEach(keep);
    return [...known, ...read];
  });
  const byName = new Map(jobs.map((job) => [job.definition.name, job]));
  return names.map((name) => ({ value: byName.get(name) }));
}

/** The job, if its revision is kept. */
function knownJob(head: JobHead): StoredJob | undefined {
  const fixed = fixedParts.get(head.revisionId);
  if (fixed === undefined) return undefined;
  const { schedule } = head;
  if (fixed.definition.schedule === schedule) return withHead(head, fixed);
  // A job may move to another schedule without a new revision.
  return withHead(head, { ...fixed, definition: { ...fixed.definition, schedule } });
}

function keep({ revisionId, revision, updatedAt, definition }: StoredJob): void {
  if (JSON.stringify(definition).length > MAX_KEPT_LENGTH) return;
  fixedParts.set(revisionId, { revision, updatedAt, definition });
  const [oldest] = fixedParts.size > MOST_KEPT ? fixedParts.keys() : [];
  if (oldest !== undefined) fixedParts.delete(oldest);
}
