/** Holds the transition tables to DESIGN 4 and to the laws that every guard relies on. */
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
  test("has the arrows of DESIGN 4, and no others", () => {
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

  test.each(RUN_STATES)("%s: final states lead nowhere, the others to a final one", (state) => {
    expect(isFinal(state)).toBe(FINAL.includes(state));
    const reached = reachableFrom(state);
    if (isFinal(state)) expect(reached).toEqual([]);
    else expect(reached.some(isFinal)).toBe(true);
  });

  test("that never ran is skipped or missed from the start", () => {
    expect(runStatesBefore("skipped")).toEqual([]);
    expect(runStatesBefore("missed")).toEqual([]);
  });

  test("runStatesBefore is the table read backwards", () => {
    for (const from of RUN_STATES) {
      for (const to of RUN_STATES) {
        const forwards = (RUN_TRANSITIONS[from] as readonly RunState[]).includes(to);
        expect([from, to, runStatesBefore(to).includes(from)]).toEqual([from, to, forwards]);
      }
    }
  });
});

test("an attempt ends once, in any state but running", () => {
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
