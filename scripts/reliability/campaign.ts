/** What a campaign is: rounds of one fault, each with a world of its own, and what they measured. */
import type { ServiceProcess } from "../../test/support/process.ts";
import { startProcess } from "../../test/support/process.ts";

/** Where one round happens; all of it goes when the round is over. */
export interface World {
  /** A database that nobody else uses. */
  connectionString: string;
  /** A folder that nobody else uses: commands run here. */
  folder: string;
  /** Makes a round like no other, and the same round again. */
  seed: number;
}

/** What one round showed. */
export interface Findings {
  /** Promises that did not hold, in words; none: the round went well. */
  broken: string[];
  /** By name with its unit, such as `lost after restart (ms)`. */
  figures: Record<string, number>;
}

export interface Campaign {
  /** What happens in a round, for people. */
  title: string;
  run(world: World): Promise<Findings>;
}

/** Collects what did not hold, so that one round shows all of it. */
export interface Checks {
  /** Notes what is broken unless it holds. */
  that(holds: boolean, broken: string): void;
  broken: string[];
}

export function createChecks(): Checks {
  const broken: string[] = [];
  return {
    broken,
    that(holds, what) {
      if (!holds) broken.push(what);
    },
  };
}

/** Starts a service of the world, with a data folder of its own by that name; with our PID_NAMESPACE, if we have one. */
export function startNode(
  { connectionString, folder }: World,
  name: string,
  environment: Record<string, string> = {},
): Promise<ServiceProcess> {
  return startProcess({
    DATABASE_URL: connectionString,
    DATA_DIR: `${folder}/${name}`,
    JOBS_DIR: folder,
    WEBHOOK_ALLOW_CIDR: "127.0.0.1/32",
    SHUTDOWN_GRACE: "0s",
    RATE_LIMIT: "1000000",
    PID_NAMESPACE: process.env["PID_NAMESPACE"] ?? "",
    ...environment,
  });
}

/** Asks until the answer is there; rejects with `what` when it does not come within `patienceMs`. */
export async function until<T>(
  what: string,
  patienceMs: number,
  ask: () => Promise<T | undefined>,
): Promise<T> {
  const deadline = performance.now() + patienceMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (performance.now() > deadline) throw new Error(`not within ${patienceMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const CALLERS = 16;

/** Does the work for each item, as some callers at once would; answers in the order of the items. */
export async function byCallers<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  const left = items.entries();
  const caller = async () => {
    for (const [index, item] of left) results[index] = await work(item);
  };
  await Promise.all(Array.from({ length: CALLERS }, caller));
  return results;
}

/** Numbers in [0, 1) that a seed decides (mulberry32). */
export function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
