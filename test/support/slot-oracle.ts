/** An independent oracle for slots: random expressions that know their own meaning, and a walk minute by minute. */

import fc from "fast-check";

const MINUTE = 60_000;
const HOUR = 3_600_000;
const DAY = 86_400_000;

/** One field: its text and the values that it means. */
interface Field {
  text: string;
  values: readonly number[];
}

/** One day field: its text and the dates that it means (UTC midnights). */
interface DayField {
  text: string;
  includes(date: Date): boolean;
}

/** An expression whose meaning is known without parsing it. */
export interface KnownCron {
  text: string;
  second: Field;
  minute: Field;
  hour: Field;
  monthDay: DayField;
  month: Field;
  weekDay: DayField;
}

function numbers(min: number, max: number): number[] {
  return Array.from({ length: max - min + 1 }, (_, index) => min + index);
}

/** `*`, steps, lists, ranges (also around the end) of one field. */
function anyField(min: number, max: number): fc.Arbitrary<Field> {
  const all = numbers(min, max);
  const value = fc.integer({ min, max });
  return fc.oneof(
    fc.constant({ text: "*", values: all }),
    fc.integer({ min: 2, max }).map((step) => ({
      text: `*/${step}`,
      values: all.filter((candidate) => (candidate - min) % step === 0),
    })),
    fc.uniqueArray(value, { minLength: 1, maxLength: 3 }).map((values) => ({ text: values.join(), values })),
    fc.tuple(value, value).map(([first, last]) => ({
      text: `${first}-${last}`,
      values: all.filter((candidate) =>
        first <= last ? first <= candidate && candidate <= last : candidate >= first || candidate <= last,
      ),
    })),
  );
}

/** Months that always include one of 31 days, so that every expression has a date. */
const anyMonth = fc.constantFrom<Field>(
  { text: "*", values: numbers(1, 12) },
  { text: "*/3", values: [1, 4, 7, 10] },
  { text: "OCT-MAR", values: [10, 11, 12, 1, 2, 3] },
  { text: "3,4,8,nov", values: [3, 4, 8, 11] },
);

function datesOf(date: Date): Date[] {
  const [year, month] = [date.getUTCFullYear(), date.getUTCMonth()];
  return numbers(1, 31)
    .map((day) => new Date(Date.UTC(year, month, day)))
    .filter((candidate) => candidate.getUTCMonth() === month);
}

const anyMonthDay: fc.Arbitrary<DayField> = fc.oneof(
  anyField(1, 31).map(({ text, values }) => ({
    text,
    includes: (date: Date) => values.includes(date.getUTCDate()),
  })),
  fc.constant({
    text: "L",
    includes: (date: Date) => date.getUTCDate() === datesOf(date).at(-1)?.getUTCDate(),
  }),
  fc.integer({ min: 1, max: 31 }).map((target) => ({
    text: `${target}W`,
    includes(date: Date) {
      const dates = datesOf(date);
      if (target > dates.length) return false;
      const distance = (candidate: Date) => Math.abs(candidate.getUTCDate() - target);
      const workdays = dates.filter((candidate) => ![0, 6].includes(candidate.getUTCDay()));
      return workdays.sort((a, b) => distance(a) - distance(b))[0]?.getTime() === date.getTime();
    },
  })),
);

const anyWeekDay: fc.Arbitrary<DayField> = fc.oneof(
  anyField(0, 6).map(({ text, values }) => ({
    text,
    includes: (date: Date) => values.includes(date.getUTCDay()),
  })),
  fc.constant({ text: "FRI-7", includes: (date: Date) => [5, 6, 0].includes(date.getUTCDay()) }),
  fc.tuple(fc.integer({ min: 0, max: 6 }), fc.constantFrom(1, 3, 5, "L")).map(([day, which]) => ({
    text: which === "L" ? `${day}L` : `${day}#${which}`,
    includes(date: Date) {
      const same = datesOf(date).filter((candidate) => candidate.getUTCDay() === day);
      const chosen = typeof which === "number" ? same[which - 1] : same.at(-1);
      return chosen?.getTime() === date.getTime();
    },
  })),
);

const everyDay = fc.constant<DayField>({ text: "*", includes: () => true });
const nightHour = fc.constantFrom(23, 0, 1, 2, 3).map((hour) => ({ text: `${hour}`, values: [hour] }));

/** Any expression of 5 or 6 fields; often every day, often at the hours in which clocks change. */
export const anyKnownCron: fc.Arbitrary<KnownCron> = fc
  .record({
    second: fc.constantFrom<Field>(
      { text: "", values: [0] },
      { text: "30", values: [30] },
      { text: "*/20", values: [0, 20, 40] },
    ),
    minute: anyField(0, 59),
    hour: fc.oneof(anyField(0, 23), nightHour),
    monthDay: fc.oneof(everyDay, anyMonthDay),
    month: anyMonth,
    weekDay: fc.oneof(everyDay, anyWeekDay),
  })
  .map((fields) => {
    const { second, minute, hour, monthDay, month, weekDay } = fields;
    const texts = [second, minute, hour, monthDay, month, weekDay].map(({ text }) => text);
    return { ...fields, text: texts.join(" ").trim() };
  })
  .filter(hasADate);

/** Whether the day fields ever agree: `15W` on a weekend, a fifth Sunday on the 25th never come. */
function hasADate(cron: KnownCron): boolean {
  const days = (Date.UTC(2028, 0) - Date.UTC(2000, 0)) / DAY;
  return numbers(0, days - 1).some((day) => isDueOn(cron, new Date(Date.UTC(2000, 0) + day * DAY)));
}

function isDueOn(cron: KnownCron, date: Date): boolean {
  const [onMonthDay, onWeekDay] = [cron.monthDay.includes(date), cron.weekDay.includes(date)];
  const either = !cron.monthDay.text.startsWith("*") && !cron.weekDay.text.startsWith("*");
  const onDay = either ? onMonthDay || onWeekDay : onMonthDay && onWeekDay;
  return onDay && cron.month.values.includes(date.getUTCMonth() + 1);
}

/** Tells whether a local minute, written as if it were UTC, is due; each date is looked at once. */
function whenDue(cron: KnownCron): (local: number) => boolean {
  const minutes = new Set(
    cron.hour.values.flatMap((hour) => cron.minute.values.map((minute) => hour * 60 + minute)),
  );
  const dates = new Map<number, boolean>();
  return (local) => {
    const day = Math.floor(local / DAY);
    if (!minutes.has((local - day * DAY) / MINUTE)) return false;
    const known = dates.get(day) ?? isDueOn(cron, new Date(day * DAY));
    dates.set(day, known);
    return known;
  };
}

function isFixedTime({ minute, hour }: KnownCron): boolean {
  const wildcards = [minute.text.startsWith("*"), hour.text.startsWith("*")];
  return !wildcards.includes(true) && minute.values.length < 60 && hour.values.length < 24;
}

/** What the wall clock of a zone shows at an instant, as if it were UTC. */
export function wallClock(zone: string): (instant: number) => number {
  const clock = new Intl.DateTimeFormat("sv-SE", { timeZone: zone, dateStyle: "short", timeStyle: "medium" });
  return (instant) => Date.parse(`${clock.format(instant).replace(" ", "T")}Z`);
}

/** The slots with after < slot <= until (epoch ms), found by looking at the wall clock every minute. */
export function slotsByWalking(
  cron: KnownCron,
  readClock: (instant: number) => number,
  after: number,
  until: number,
): number[] {
  const fixedTime = isFixedTime(cron);
  const isDue = whenDue(cron);
  const seen = new Set<number>();
  const slots = new Set<number>();
  const begin = Math.floor(after / MINUTE) * MINUTE - 4 * HOUR; // no overlap since 1975 is longer
  let before = readClock(begin - MINUTE);
  for (let instant = begin; instant <= until; instant += MINUTE) {
    const now = readClock(instant);
    for (let skipped = before + MINUTE; fixedTime && skipped < now; skipped += MINUTE) {
      const dates = [before, now].map((local) => Math.floor(local / DAY));
      if (dates.includes(Math.floor(skipped / DAY)) && isDue(skipped)) slots.add(instant);
    }
    if (!(fixedTime && seen.has(now)) && isDue(now)) {
      for (const second of cron.second.values) slots.add(instant + second * 1_000);
    }
    seen.add(now);
    before = now;
  }
  return [...slots].filter((slot) => after < slot && slot <= until).sort((a, b) => a - b);
}
