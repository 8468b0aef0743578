/** Tests of the transition tables: the exact transitions, and the laws that every guard relies on. */
import { describe, expect, test } from "vitest";
import {
  ATTEMPT_TRANSITIONS,
  isFinal,
  RUN_STATES,
  RUN_TRANSITIONS,
  type RunState,
  runStatesBefore,
} from "../../../src/runs/rules/states.ts";

const FINAL: RunState[] = ["succeeded", "failed", "cancelled", "skipped", "missed"];

describe("a run", () => {
  test("has exactly these transitions", () => {
    const arrows = RUN_STATES.flatMap((from) => RUN_TRANSITIONS[from].map((to) => `${from} -> ${to}`));
    expect(arrows.sort()).toEqual([
      "queued -> cancelled",
      "queued -> running",
      "retrying -> cancelled",
      "retrying -> running",
      "running -> cancelled",
      "running -> failed",
      "running -> queued",
      "running -> retrying",
      "running -> succeeded",
    ]);
  });

  test.each(RUN_STATES)("in state %s can reach a final state, unless that is one", (state) => {
    expect(isFinal(state)).toBe(FINAL.includes(state));
    const reached = reachableFrom(state);
    if (isFinal(state)) expect(reached).toEqual([]);
    else expect(reached.some(isFinal)).toBe(true);
  });

  test("starts as skipped or missed when it never runs", () => {
    expect(runStatesBefore("skipped")).toEqual([]);
    expect(runStatesBefore("missed")).toEqual([]);
  });

  test("runStatesBefore is the inverse of the table", () => {
    for (const from of RUN_STATES) {
      for (const to of RUN_STATES) {
        const forwards = (RUN_TRANSITIONS[from] as readonly RunState[]).includes(to);
        expect([from, to, runStatesBefore(to).includes(from)]).toEqual([from, to, forwards]);
      }
    }
  });
});

test("an attempt leaves the state running once, to any other state", () => {
  const { running, ...ended } = ATTEMPT_TRANSITIONS;
  expect([...running].sort()).toEqual(Object.keys(ended).sort());
  expect(Object.values(ended).flat()).toEqual([]);
});

function reachableFrom(start: RunState): RunState[] {
  const reached = new Set<RunState>();
  const open: RunState[] = [start];
  for (let state = open.pop(); state !== undefined; state = open.pop()) {
    for (const next of RUN_TRANSITIONS[state]) {
      if (!reached.has(next)) open.push(next);
      reached.add(next);
    }
  }
  return [...reached];
}
