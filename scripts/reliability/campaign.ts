/** Defines a campaign: rounds of one fault, each with its own database and folder, and the figures they measure. */
import type { ServiceProcess } from "../../test/support/service-process.ts";
import { startProcess } from "../../test/support/service-process.ts";

/** The database and folder of one round. Both are removed after the round. */
export interface World {
  /** A database that nobody else uses. */
  connectionString: string;
  /** A folder that nobody else uses: commands run here. */
  folder: string;
  /** Decides all random choices of the round, so that the same seed repeats it. */
  seed: number;
}

/** The result of one round. */
export interface Findings {
  /** The broken promises, in words. Empty if the round went well. */
  broken: string[];
  /** By name with its unit, such as `lost after restart (ms)`. */
  figures: Record<string, number>;
}

export interface Campaign {
  /** What happens in a round, for people. */
  title: string;
  run(world: World): Promise<Findings>;
}

/** Collects failed checks, so that one round shows all of them. */
export interface Checks {
  /** Records `broken` unless the check holds. */
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

/** Starts a service in the world, with its own data folder of that name. It inherits PID_NAMESPACE. */
export function startNode(
  { connectionString, folder }: World,
  name: string,
  environment: Record<string, string> = {},
  onOutput?: (output: string) => void,
): Promise<ServiceProcess> {
  const variables = {
    DATABASE_URL: connectionString,
    DATA_DIR: `${folder}/${name}`,
    JOBS_DIR: folder,
    WEBHOOK_ALLOW_CIDR: "127.0.0.1/32",
    SHUTDOWN_GRACE: "0s",
    RATE_LIMIT: "1000000",
    PID_NAMESPACE: process.env["PID_NAMESPACE"] ?? "",
    ...environment,
  };
  return startProcess(variables, onOutput);
}

/** Asks again until there is an answer. Rejects with `what` after `patienceMs`. */
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

/** Does the work for all items with several callers at once. Returns the results in the order of the items. */
export async function byCallers<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  const left = items.entries();
  const caller = async () => {
    for (const [index, item] of left) results[index] = await work(item);
  };
  await Promise.all(Array.from({ length: CALLERS }, caller));
  return results;
}

/** Returns a generator of numbers in [0, 1) that repeats for the same seed (mulberry32). */
export function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
