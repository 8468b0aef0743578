/** Tests of the decision about passed slots: missed, or caught up. */
import fc from "fast-check";
import { expect, it } from "vitest";
import {
  decideMissed,
  decidePaused,
  MAX_MISSED,
  type MissedRule,
  NO_SCHEDULER_REASON,
  pausedReason,
} from "../../../src/runs/rules/missed.ts";

const minute = (count: number) => new Date(Date.UTC(2026, 2, 1) + count * 60_000);
const minutes = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, index) => minute(from + index));
const rule = (policy: MissedRule["policy"], more: Partial<MissedRule> = {}): MissedRule => ({
  policy,
  since: minute(0),
  paused: undefined,
  ...more,
});
const three = [{ slots: minutes(1, 3), earlier: 0 }];
const PAUSED = "the job is paused";

it.each<[what: string, MissedRule, caughtUp: number[], reasons: (string | undefined)[]]>([
  ["skip", rule("skip"), [], [NO_SCHEDULER_REASON, NO_SCHEDULER_REASON, NO_SCHEDULER_REASON]],
  ["last", rule("last"), [3], [NO_SCHEDULER_REASON, NO_SCHEDULER_REASON, undefined]],
  ["all", rule("all"), [1, 2, 3], [undefined, undefined, undefined]],
  ["all, of a paused job", rule("all", { paused: PAUSED }), [], [PAUSED, PAUSED, PAUSED]],
  [
    "all, job changed meanwhile",
    rule("all", { since: minute(2) }),
    [3],
    [NO_SCHEDULER_REASON, NO_SCHEDULER_REASON, undefined],
  ],
  [
    "last, job changed after the last slot",
    rule("last", { since: minute(3) }),
    [],
    [NO_SCHEDULER_REASON, NO_SCHEDULER_REASON, NO_SCHEDULER_REASON],
  ],
  [
    "all, job paused meanwhile",
    rule("all", { since: minute(2), paused: PAUSED }),
    [],
    [NO_SCHEDULER_REASON, NO_SCHEDULER_REASON, PAUSED],
  ],
])("catches up by the policy: %s", (_what, missedRule, caughtUp, reasons) => {
  const rows = decideMissed(three, missedRule);
  expect(rows.map((row) => row.scheduledFor)).toEqual(minutes(1, 3));
  expect(rows.filter((row) => row.catchUp).map((row) => row.scheduledFor)).toEqual(caughtUp.map(minute));
  expect(rows.map((row) => row.reason)).toEqual(reasons);
});

it("records in the oldest row how many slots are left out, earlier stretches included", () => {
  const stretches = [
    { slots: minutes(1, 3), earlier: 7 },
    { slots: minutes(10, 9 + MAX_MISSED), earlier: 0 },
  ];
  const [oldest, next] = decideMissed(stretches, rule("all"));
  expect(oldest).toEqual({
    scheduledFor: minute(10),
    catchUp: true,
    reason: "10 earlier slots are left out: no more than 100 are kept",
  });
  expect(next?.reason).toBeUndefined();
  expect(decideMissed([{ slots: minutes(1, 1), earlier: 1 }], rule("skip"))[0]?.reason).toBe(
    `${NO_SCHEDULER_REASON}; 1 earlier slot is left out: no more than 100 are kept`,
  );
  expect(decideMissed([], rule("all"))).toEqual([]);
});

it("records only the first slots of a pause, and says so in the last of them", () => {
  const reason = pausedReason({ by: "ann", reason: "descaling" });
  expect(reason).toBe("the job is paused by ann: descaling");
  const rows = decidePaused(minutes(1, 5), reason, MAX_MISSED - 2);
  expect(rows.map((row) => row.reason)).toEqual([
    reason,
    `${reason}; slots after this one are not recorded while it is paused`,
  ]);
  expect(decidePaused(minutes(1, 5), reason, MAX_MISSED)).toEqual([]);
});

it("stays within its limits and counts every slot, whatever has passed", () => {
  const stretch = fc.record({ length: fc.integer({ min: 0, max: 150 }), earlier: fc.nat(1_000) });
  const policies = fc.constantFrom<MissedRule["policy"]>("skip", "last", "all");
  fc.assert(
    fc.property(fc.array(stretch, { maxLength: 4 }), policies, fc.nat(400), (lengths, policy, since) => {
      let end = 0;
      const stretches = lengths.map(({ length, earlier }) => {
        const slots = minutes(end + 1, end + length);
        end += length;
        return { slots, earlier };
      });
      const rows = decideMissed(stretches, rule(policy, { since: minute(since) }));
      const left = Number(/(\d+) earlier slot/.exec(rows[0]?.reason ?? "")?.[1] ?? 0);
      const all = stretches.reduce((sum, one) => sum + one.slots.length + one.earlier, 0);
      if (rows.length > 0) expect(rows.length + left).toBe(all);
      expect(rows.map((row) => row.scheduledFor)).toEqual(minutes(end - rows.length + 1, end));
      expect(rows.length).toBe(Math.min(end, MAX_MISSED));
      const caughtUp = rows.filter((row) => row.catchUp);
      const after = rows.filter((row) => row.scheduledFor > minute(since));
      expect(caughtUp).toEqual(policy === "all" ? after : policy === "last" ? after.slice(-1) : []);
      expect(rows.every((row) => row.catchUp || row.reason?.startsWith(NO_SCHEDULER_REASON))).toBe(true);
    }),
  );
});
