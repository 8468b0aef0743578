/** Which job triggers which: the cycles in that graph, and the length of a chain. */

/** Runs in one chain, the first included; a longer one stops with a reason. */
export const MAX_CHAIN = 16;

/**
 * The names along one cycle, first and last the same; undefined when there is no cycle.
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

/** Depth first with a stack of its own, so that a long chain cannot exhaust the call stack. */
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
