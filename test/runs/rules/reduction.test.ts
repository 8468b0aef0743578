/** Tests of what a settlement leaves out after refusals, and of what remains of it. */
import { expect, it } from "vitest";
import {
  reducedReason,
  reducedSettlement,
  reductionAfter,
  SETTLE_TRIES,
} from "../../../src/runs/rules/reduction.ts";
import { FAILED, HOOK, notify, settled, trigger } from "../../support/settled.ts";

const WHY = "the database refused the result: no space";

it("leaves out nothing at first, then the log, and at last the effects", () => {
  const stages = Array.from({ length: SETTLE_TRIES }, (_, refusals) => reductionAfter(refusals, "no space"));
  expect(stages).toEqual([
    ...Array(5).fill(undefined),
    { without: "log", why: WHY },
    { without: "effects", why: WHY },
  ]);
});

it("adds to the reason what was dropped, and why", () => {
  expect(reducedReason(undefined, { without: "log", why: WHY })).toBe(`the log was dropped, because ${WHY}`);
  expect(reducedReason("timed out after 1s", { without: "effects", why: WHY })).toBe(
    `timed out after 1s; the log, notifications and triggers were dropped, because ${WHY}`,
  );
});

it("without effects, keeps state, events and deliveries, and refuses the triggers", () => {
  const whole = settled({ outcome: FAILED, actions: [notify("on_error", HOOK), trigger("on_error", "mop")] });
  expect(reducedSettlement(whole, undefined)).toBe(whole);
  expect(reducedSettlement(whole, { without: "log", why: WHY })).toBe(whole);
  const reduced = reducedSettlement(whole, { without: "effects", why: WHY });
  expect(reduced.run).toEqual(whole.run);
  expect(reduced.events).toMatchObject([
    { deliveries: whole.events[0]?.deliveries, triggers: [], refusals: [{ name: "mop", reason: WHY }] },
  ]);
});
