/** Tests of the decision about passed slots: missed, counted, or caught up. */
import fc from "fast-check";
import { expect, it } from "vitest";
import {
  countPaused,
  decideMissed,
  MAX_MISSED,
  type MissedRule,
  NO_SCHEDULER_REASON,
  pausedReason,
  type SlotCount,
  splitPaused,
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
const counted = (from: number, to: number): SlotCount => ({
  count: to - from + 1,
  first: minute(from),
  last: minute(to),
});
const three = [{ slots: minutes(1, 3), older: undefined }];
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

it("counts older slots in one row before the others, whatever the policy, and gives a single one a row of its own", () => {
  const periods = [
    { slots: minutes(8, 10), older: counted(1, 7) },
    { slots: minutes(11, 10 + MAX_MISSED), older: undefined },
  ];
  const [older, next] = decideMissed(periods, rule("all"));
  expect(older).toEqual({
    scheduledFor: minute(10),
    catchUp: false,
    reason: `10 older slots left out, 2026-03-01T00:01:00Z to 2026-03-01T00:10:00Z; ${NO_SCHEDULER_REASON}`,
  });
  expect(next).toEqual({ scheduledFor: minute(11), catchUp: true, reason: undefined });
  expect(decideMissed([{ slots: [], older: counted(1, 1) }], rule("all"))).toEqual([
    { scheduledFor: minute(1), catchUp: false, reason: NO_SCHEDULER_REASON },
  ]);
  expect(decideMissed([], rule("all"))).toEqual([]);
});

it("gives the first slots of a pause rows of their own, and counts all others in one row", () => {
  const reason = pausedReason({ by: "ann", reason: "descaling" });
  expect(reason).toBe("the job is paused by ann: descaling");
  expect(splitPaused(minutes(1, 5), MAX_MISSED - 2)).toEqual({ own: minutes(1, 2), counted: minutes(3, 5) });
  expect(splitPaused(minutes(1, 2), MAX_MISSED + 1)).toEqual({ own: [], counted: minutes(1, 2) });
  const own = { scheduledFor: minute(2), reason };
  const first = countPaused(own, minutes(3, 3), reason);
  expect(first).toEqual({
    scheduledFor: minute(3),
    catchUp: false,
    reason: `1 more slot left out, 2026-03-01T00:03:00Z; ${reason}`,
    continues: false,
  });
  const newest = { scheduledFor: minute(3), reason: first?.reason ?? null };
  expect(countPaused(newest, minutes(2, 6), "the job is paused")).toEqual({
    scheduledFor: minute(6),
    catchUp: false,
    reason: "4 more slots left out, 2026-03-01T00:03:00Z to 2026-03-01T00:06:00Z; the job is paused",
    continues: true,
  });
  expect(countPaused(newest, minutes(2, 3), reason)).toBeUndefined();
});

it("counts every slot of a pause once, however its beats fall and whichever scheduler repeats one", () => {
  const beats = fc.array(fc.record({ slots: fc.integer({ min: 1, max: 5 }), again: fc.nat(3) }), {
    minLength: 1,
  });
  fc.assert(
    fc.property(beats, (steps) => {
      let end = 0;
      let newest: { scheduledFor: Date; reason: string | null } | undefined;
      for (const { slots, again } of steps) {
        const row = countPaused(newest, minutes(Math.max(1, end + 1 - again), end + slots), "paused");
        end += slots;
        newest = { scheduledFor: row?.scheduledFor ?? minute(0), reason: row?.reason ?? null };
        expect(newest.scheduledFor).toEqual(minute(end));
        expect(newest.reason).toMatch(new RegExp(`^${end} more slots? left out, 2026-03-01T00:01:00Z`));
      }
    }),
  );
});

it("counts every slot once and gives at most 100 rows of their own, whatever has passed", () => {
  const period = fc.record({ length: fc.integer({ min: 0, max: MAX_MISSED }), older: fc.nat(50) });
  const policies = fc.constantFrom<MissedRule["policy"]>("skip", "last", "all");
  fc.assert(
    fc.property(fc.array(period, { maxLength: 4 }), policies, fc.nat(400), (lengths, policy, since) => {
      let end = 0;
      const periods = lengths.map(({ length, older }, index) => {
        // A period before another one has older slots only where the window begins: then it has no others before it.
        const count = index === 0 ? older : 0;
        const passed = {
          slots: minutes(end + count + 1, end + count + length),
          older: count === 0 ? undefined : counted(end + 1, end + count),
        };
        end += count + length;
        return passed;
      });
      const rows = decideMissed(periods, rule(policy, { since: minute(since) }));
      const kept = Math.min(
        periods.reduce((sum, one) => sum + one.slots.length, 0),
        MAX_MISSED,
      );
      const own = rows.slice(rows.length - kept);
      expect(own.map((row) => row.scheduledFor)).toEqual(minutes(end - kept + 1, end));
      const [older] = rows.length > kept ? rows : [];
      expect(older?.scheduledFor).toEqual(end > kept ? minute(end - kept) : undefined);
      if (end - kept > 1) {
        expect(older?.reason).toMatch(`${end - kept} older slots left out, 2026-03-01T00:01:00Z to `);
      }
      const caughtUp = rows.filter((row) => row.catchUp);
      const after = own.filter((row) => row.scheduledFor > minute(since));
      expect(caughtUp).toEqual(policy === "all" ? after : policy === "last" ? after.slice(-1) : []);
      expect(rows.every((row) => row.catchUp || row.reason?.endsWith(NO_SCHEDULER_REASON))).toBe(true);
    }),
  );
});
