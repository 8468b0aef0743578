/** Tests of findCycle: a table, a naive oracle on random graphs, and linear work on large graphs. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { findCycle } from "../../../src/jobs/rules/chains.ts";

interface Edge {
  job: string;
  target: string;
}

const edges = (...arrows: string[]): Edge[] =>
  arrows.map((arrow) => {
    const [job = "", target = ""] = arrow.split(">");
    return { job, target };
  });

describe("findCycle", () => {
  test.each([
    ["an empty graph", []],
    ["a chain", ["a>b", "b>c"]],
    ["two ways to one job", ["a>b", "a>c", "b>d", "c>d"]],
    ["a job named twice", ["a>b", "a>b"]],
    ["separate chains", ["a>b", "c>d"]],
    ["names that every object has", ["constructor>toString", "toString>__proto__"]],
  ])("finds no cycle in %s", (_, arrows) => {
    expect(findCycle(edges(...arrows))).toBeUndefined();
  });

  test.each([
    ["a job that triggers itself", ["a>a"], ["a", "a"]],
    ["two jobs that trigger each other", ["a>b", "b>a"], ["a", "b", "a"]],
    ["only the circle, not the jobs that lead to it", ["a>b", "b>c", "c>d", "d>b"], ["b", "c", "d", "b"]],
    ["a circle found after a dead end", ["a>b", "a>c", "c>a"], ["a", "c", "a"]],
    ["a circle that the first job does not reach", ["a>b", "c>d", "d>c"], ["c", "d", "c"]],
  ])("returns %s", (_, arrows, cycle) => {
    expect(findCycle(edges(...arrows))).toEqual(cycle);
  });
});

const anyGraph = fc.integer({ min: 1, max: 8 }).chain((size) => {
  const job = fc.integer({ min: 1, max: size }).map((n) => `job-${n}`);
  return fc.array(fc.record({ job, target: job }), { maxLength: 14 });
});

/** Whether some job triggers itself, directly or through others. Computes the transitive closure edge by edge. */
function hasCycle(graph: readonly Edge[]): boolean {
  const pairs = new Set(graph.map(({ job, target }) => `${job}>${target}`));
  for (let size = -1; size !== pairs.size; ) {
    size = pairs.size;
    for (const { job, target } of edges(...pairs)) {
      for (const next of graph) if (next.job === target) pairs.add(`${job}>${next.target}`);
    }
  }
  return edges(...pairs).some(({ job, target }) => job === target);
}

test("finds a real cycle in a random graph exactly when there is one", () => {
  fc.assert(
    fc.property(anyGraph, (graph) => {
      const cycle = findCycle(graph);
      expect(cycle !== undefined).toBe(hasCycle(graph));
      if (cycle === undefined) return;
      expect(cycle.at(-1)).toBe(cycle[0]);
      expect(new Set(cycle).size).toBe(cycle.length - 1);
      const steps = cycle.slice(1).map((target, i) => ({ job: cycle[i], target }));
      expect(graph).toEqual(expect.arrayContaining(steps));
    }),
    { numRuns: 2_000 },
  );
});

describe("on 10,000 edges", () => {
  const COUNT = 10_000;
  const each = <T>(edge: (i: number) => T): T[] => Array.from({ length: COUNT }, (_, i) => edge(i));
  const chain = each((i) => ({ job: `job-${i}`, target: `job-${i + 1}` }));

  /** Returns the edge, and throws when it is followed twice: that would make the work quadratic or worse. */
  function once({ job, target }: Edge): Edge {
    let followed = false;
    return {
      job,
      get target() {
        if (followed) throw new Error(`${job} > ${target} is followed again`);
        followed = true;
        return target;
      },
    };
  }

  test.each([
    ["a chain, its first job first", chain],
    ["a chain, its last job first", chain.toReversed()],
    ["one job that triggers all others", each((i) => ({ job: "first", target: `job-${i}` }))],
    ["jobs that all trigger one", each((i) => ({ job: `job-${i}`, target: "last" }))],
    ["a ladder of two ways each", each((i) => ({ job: `job-${i >> 1}`, target: `job-${(i >> 1) + 1}` }))],
  ])("follows no edge twice in %s", (_, graph) => {
    expect(findCycle(graph.map(once))).toBeUndefined();
  });

  test("finds a circle of all jobs", () => {
    const cycle = findCycle([...chain, { job: `job-${COUNT}`, target: "job-0" }]);
    expect(cycle).toHaveLength(COUNT + 2);
  });
});
