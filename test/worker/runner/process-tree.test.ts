/** Decides which processes belong to a command, from a snapshot of all processes. */
import { expect, it } from "vitest";
import { membersOf, type ProcessTree } from "../../../src/worker/runner/process-tree.ts";
import type { ProcessEntry } from "../../../src/worker/runner/processes.ts";

const MARK = ["CARILLON_RUN_ID=1", "CARILLON_ATTEMPT=0"];

/** A process that started at 100 unless given, alone in its group and session, with process 1 as its parent. */
const entry = (pid: number, given: Partial<ProcessEntry> = {}): ProcessEntry => ({
  ...{ pid, startTime: 100, parent: 1, group: pid, session: pid, zombie: false },
  ...given,
});

const tree = (given: Partial<ProcessTree> = {}): ProcessTree => ({
  ...{ root: { pid: 10, startTime: 100 }, notBefore: 100, marker: MARK, rootMayBeGone: false },
  ...given,
});

function pidsOf(
  wanted: ProcessTree,
  processes: ProcessEntry[],
  environments: Record<number, string[]> = {},
): number[] {
  const environment = (pid: number) => new Set(environments[pid]);
  return membersOf(wanted, { processes, environment }).map(({ pid }) => pid);
}

it("includes the command, its descendants, group and session, and theirs", () => {
  const processes = [
    entry(10),
    entry(11, { parent: 10 }),
    entry(12, { parent: 11 }),
    // Its parent has ended.
    entry(13, { group: 10, session: 10 }),
    entry(14, { session: 10 }),
    // In the session of a descendant, but not a descendant itself.
    entry(15, { session: 12 }),
    entry(20),
    entry(21, { parent: 20 }),
  ];
  expect(pidsOf(tree(), processes)).toEqual([10, 11, 12, 13, 14, 15]);
  expect(pidsOf(tree(), [entry(13, { group: 10 }), entry(14, { session: 10 })])).toEqual([13, 14]);
  expect(pidsOf(tree(), processes.toReversed()).toSorted((a, b) => a - b)).toEqual([10, 11, 12, 13, 14, 15]);
});

it("includes processes with the whole marker, and their descendants", () => {
  const processes = [entry(30), entry(31), entry(32, { parent: 30 })];
  const environments = { 30: ["PATH=/bin", ...MARK], 31: ["CARILLON_RUN_ID=1", "CARILLON_ATTEMPT=1"] };
  expect(pidsOf(tree(), processes, environments)).toEqual([30, 32]);
  expect(pidsOf(tree({ marker: [] }), processes, environments)).toEqual([]);
});

it("excludes processes older than the command, ourselves and zombies", () => {
  const processes = [
    entry(10, { zombie: true }),
    entry(11, { group: 10, startTime: 99 }),
    entry(12, { group: 10, zombie: true }),
    entry(process.pid, { group: 10 }),
    entry(13, { group: 10 }),
  ];
  expect(pidsOf(tree(), processes)).toEqual([13]);
});

it("excludes a later process with the same pid", () => {
  const processes = [entry(10, { startTime: 200 }), entry(11, { parent: 10, startTime: 201 })];
  expect(pidsOf(tree(), processes)).toEqual([]);
  expect(pidsOf(tree({ rootMayBeGone: true }), processes)).toEqual([]);
});

it("excludes processes that match only a group id that may have been reused", () => {
  const member = entry(13, { group: 10, session: 10 });
  expect(pidsOf(tree({ rootMayBeGone: true }), [member])).toEqual([]);
  expect(pidsOf(tree({ rootMayBeGone: true }), [entry(10), member])).toEqual([10, 13]);
});
