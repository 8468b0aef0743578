/** Finds how close to each other the slots of cron expressions are. */
import type { Cron } from "./cron.ts";
import { dueSlots } from "./slots.ts";

/** Expressions repeat themselves after a year, and most of them much sooner. */
const AFTER = new Date("2023-12-31T23:59:59Z");
const UNTIL = new Date("2024-12-31T23:59:59Z");
const SLOTS = 500;

/** Returns the smallest time between two slots (ms), as the first 500 slots of a year show it; Infinity: it has one. */
export function smallestGapMs(crons: readonly Cron[]): number {
  const slots = dueSlots({ crons, zone: "UTC", after: AFTER, until: UNTIL, limit: SLOTS }).map(Number);
  return slots.reduce(
    (smallest, slot, index) => Math.min(smallest, slot - (slots[index - 1] ?? Number.NEGATIVE_INFINITY)),
    Number.POSITIVE_INFINITY,
  );
}
