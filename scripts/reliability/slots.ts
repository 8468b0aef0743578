/** Compares the slots of random cron expressions in 11 time zones with an oracle that checks every minute of 2020 to 2035. */
import { compareSlots } from "../../test/support/slot-comparison.ts";
import { type Campaign, createChecks } from "./campaign.ts";

const EXPRESSIONS = 500;

/** 20 rounds check 10,000 expressions, each in 11 zones and in two windows of two days. */
export const slots: Campaign = {
  title: `slots of ${EXPRESSIONS} random expressions in 11 zones, against a walk over the wall clock`,
  async run({ seed }) {
    const checks = createChecks();
    const { windows, slots: count, faults } = compareSlots(seed, EXPRESSIONS);
    for (const fault of faults) checks.that(false, fault);
    return { broken: checks.broken, figures: { "windows compared": windows, "slots in them": count } };
  },
};
