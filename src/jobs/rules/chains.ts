/** Finds cycles among jobs that trigger each other, and limits the length of a chain. */

/** The most runs in one chain, the first included. A longer chain stops with a recorded reason. */
export const MAX_CHAIN = 16;

/**
 * The names along one cycle, where the first and the last are the same; undefined when there is no cycle.
 * @param edges each job with a job that it triggers
 */
export function findCycle(edges: readonly { job: string; target: string }[]): string[] | undefined {
  const edgesOf = Map.groupBy(edges, (edge) => edge.job);
  const done = new Set<string>();
  for (const job of edgesOf.keys()) {
    const cycle = cycleFrom(job, edgesOf, done);
    if (cycle !== undefined) return cycle;
  }
  return undefined;
}

/** Searches depth first. It keeps its own stack, since a long chain could exhaust the call stack. */
function cycleFrom(
  start: string,
  edgesOf: ReadonlyMap<string, readonly { target: string }[]>,
  done: Set<string>,
): string[] | undefined {
  const path: { job: string; next: number }[] = [{ job: start, next: 0 }];
  const onPath = new Set([start]);
  for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
    const target = done.has(top.job) ? undefined : edgesOf.get(top.job)?.[top.next++]?.target;
    if (target === undefined) {
      done.add(top.job);
      onPath.delete(top.job);
      path.pop();
    } else if (onPath.has(target)) {
      const jobs = path.map((step) => step.job);
      return [...jobs.slice(jobs.indexOf(target)), target];
    } else {
      path.push({ job: target, next: 0 });
      onPath.add(target);
    }
  }
  return undefined;
}
