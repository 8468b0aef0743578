/** Bounds how much of a worker's database work goes on at once: the rest waits here, where nothing times out. */

/** Does work when a place is free; those that wait are served in the order in which they came. */
export type Gate = <T>(work: () => Promise<T>) => Promise<T>;

/** @param places work that goes on at once */
export function createGate(places: number): Gate {
  const waiting: (() => void)[] = [];
  let free = places;
  return async (work) => {
    if (free > 0) free--;
    else await new Promise<void>((resolve) => waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = waiting.shift();
      if (next === undefined) free++;
      else next();
    }
  };
}
