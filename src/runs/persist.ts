/** Records the start or the end of an attempt in spite of a database that is away, or refuses. */
import { setTimeout as delay } from "node:timers/promises";
import { isConflict, isTransient } from "../postgres/failures.ts";
import { ClaimLost } from "../queue/queue.ts";
import { startInUnits } from "../text/cuts.ts";
import { type Reduction, reductionAfter } from "./rules/reduction.ts";

/** Wait (ms) before another try. */
const RETRY_MS = 1_000;

/**
 * Does `work` again while the database is away or busy and the claim may still be valid, and up to `tries` times when the
 * database refuses it. Returns undefined when it did not succeed: another worker has the message, or will get it.
 * @param work gets the last refusal of the database; undefined at first
 * @param options `failed` hears of every error
 */
export async function persist<T>(
  work: (refusal: Refusal | undefined) => Promise<T>,
  isClaimed: () => boolean,
  { tries, failed }: { tries: number; failed: (error: unknown) => void },
): Promise<T | undefined> {
  let refusal: Refusal | undefined;
  while ((refusal?.count ?? 0) < tries && isClaimed()) {
    try {
      return await work(refusal);
    } catch (error) {
      failed(error);
      if (error instanceof ClaimLost) return undefined;
      // A database that is busy, or a conflict with others, says nothing about the result itself.
      if (!isTransient(error) && !isConflict(error)) refusal = { count: (refusal?.count ?? 0) + 1, error };
      await delay(RETRY_MS);
    }
  }
  return undefined;
}

/** What a settlement leaves out after a refusal. */
export function reductionOf(refusal: Refusal | undefined): Reduction | undefined {
  return refusal && reductionAfter(refusal.count, messageOf(refusal.error));
}

const MAX_MESSAGE = 300;

/** What Postgres says, without the query that Prisma puts before it. */
function messageOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return startInUnits(text.trim().split("\n").at(-1) ?? "", MAX_MESSAGE);
}

/** How often the database has refused the work, and its last error. */
export interface Refusal {
  count: number;
  error: unknown;
}
