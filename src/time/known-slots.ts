/** Remembers the next slots of cron expressions until the first of them has passed: they follow from the time alone. */
import { parseCron } from "./cron.ts";
import { nextSlots } from "./slots.ts";

/** The slots are true for every instant of `from <= instant < slots[0]`, in epoch ms. */
interface KnownSlots {
  from: number;
  slots: readonly number[];
}

/** The most entries; the one that was made first gives way. */
const MAX_KNOWN = 5_000;

const known = new Map<string, KnownSlots>();

/**
 * Returns the next `count` slots of expressions, like {@link nextSlots}.
 *
 * @throws CronError if an expression is wrong, RangeError if the zone is unknown
 */
export function knownNextSlots(query: {
  crons: readonly string[];
  zone: string;
  after: Date;
  count: number;
}): Date[] {
  const { crons, zone, count } = query;
  if (crons.length === 0) return [];
  const after = query.after.getTime();
  const key = `${count} ${zone} ${crons.join("\n")}`;
  let entry = known.get(key);
  if (entry === undefined || after < entry.from || after >= (entry.slots[0] ?? after)) {
    const slots = nextSlots({ crons: crons.map(parseCron), zone, after: query.after, count });
    entry = { from: after, slots: slots.map((slot) => slot.getTime()) };
    known.delete(key);
    // With fewer slots, a later instant may look further ahead and find one more.
    if (slots.length === count) known.set(key, entry);
    const [oldest] = known.size > MAX_KNOWN ? known.keys() : [];
    if (oldest !== undefined) known.delete(oldest);
  }
  return entry.slots.map((slot) => new Date(slot));
}
