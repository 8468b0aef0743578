/** Parses cron expressions and macros into the fields from which slots are computed. */

import { type ParsedFields, validateDetailed } from "node-cron";
import { type DateFields, isDueOn } from "./calendar.ts";

/** A parsed cron expression; the values of every field are distinct and ascending. */
export interface Cron extends DateFields {
  readonly seconds: readonly number[];
  readonly minutes: readonly number[];
  readonly hours: readonly number[];
  /**
   * Neither the minute nor the hour is a wildcard, so the job is due at times of the day and not at intervals.
   * As in Debian's cron, every field that starts with `*` is a wildcard, also with a step; so is a field that lists
   * every value.
   */
  readonly fixedTime: boolean;
}

/** The text is not a valid cron expression; the message says what to write instead. */
export class CronError extends Error {
  override readonly name = "CronError";
}

const MAX_LENGTH = 200;
const DAY = 86_400_000;

/** The macros of gronx, the library that cheek uses, and crontab's @midnight. */
const MACROS: ReadonlyMap<string, string> = new Map([
  ["@yearly", "0 0 1 1 *"],
  ["@annually", "0 0 1 1 *"],
  ["@monthly", "0 0 1 * *"],
  ["@weekly", "0 0 * * 0"],
  ["@daily", "0 0 * * *"],
  ["@midnight", "0 0 * * *"],
  ["@hourly", "0 * * * *"],
  ["@30minutes", "0,30 * * * *"],
  ["@15minutes", "*/15 * * * *"],
  ["@10minutes", "*/10 * * * *"],
  ["@5minutes", "*/5 * * * *"],
  ["@everyminute", "* * * * *"],
  ["@always", "* * * * *"],
  ["@everysecond", "* * * * * *"],
]);

type FieldName = keyof ParsedFields;

/** The name of each field, its bounds, and the hint for messages. */
const FIELDS: Readonly<Record<FieldName, { label: string; min: number; max: number; write: string }>> = {
  second: { label: "second", min: 0, max: 59, write: "0-59, such as 0 or */10" },
  minute: { label: "minute", min: 0, max: 59, write: "0-59, such as 30, 0,30 or */5" },
  hour: { label: "hour", min: 0, max: 23, write: "0-23, such as 8, 9-17 or */2" },
  dayOfMonth: {
    label: "day of month",
    min: 1,
    max: 31,
    write: "1-31, L, L-3, LW or 15W, in a month that has the day",
  },
  month: { label: "month", min: 1, max: 12, write: "1-12 or JAN-DEC, such as 6 or JAN,JUL" },
  dayOfWeek: { label: "day of week", min: 0, max: 7, write: "0-7 or SUN-SAT, such as MON-FRI, 5#2 or 5L" },
};
const FIELD_NAMES = ["second", "minute", "hour", "dayOfMonth", "month", "dayOfWeek"] as const;

const VALUE = "(?:\\d{1,2}|[a-z]{3})";

/** One item of a field's list, with the two ends of a range. */
const ITEM = new RegExp(
  `^(?:\\?|\\*(?:/\\d{1,2})?|(${VALUE})(?:-(${VALUE}))?(?:/\\d{1,2})?|LW?|L-\\d{1,2}|\\d{1,2}W|${VALUE}(?:L|#[1-5]))$`,
  "i",
);

/**
 * Parses a cron expression: 5 fields, 6 with leading seconds, 7 with a trailing year that must be `*`; or a macro.
 *
 * When day of month and day of week are both restricted, either is enough (crontab(5); node-cron itself wants
 * both). As in Vixie cron and gronx a field that starts with `*` is not restricted, not even by a step.
 *
 * @throws CronError if the text is too long, is not in this dialect, or names only dates that never come
 */
export function parseCron(text: string): Cron {
  if (text.length > MAX_LENGTH) {
    throw new CronError(`a cron expression has at most ${MAX_LENGTH} characters, not ${text.length}`);
  }
  const written = split(text);
  for (const name of FIELD_NAMES) {
    if (!written[name].split(",").every((item) => isItem(name, item))) throw wrongField(name, written[name]);
  }
  const { errors, fields } = validateDetailed(
    FIELD_NAMES.map((name) => closeSteps(name, written[name])).join(" "),
  );
  if (fields === undefined) {
    const name = errors[0]?.field as FieldName; // never "expression": split() and ITEM have already refused those
    throw wrongField(name, written[name]);
  }
  const minutes = ascending(fields.minute);
  const hours = ascending(fields.hour);
  const cron: Cron = {
    seconds: ascending(fields.second),
    minutes,
    hours,
    months: ascending(fields.month),
    monthDays: fields.dayOfMonth,
    weekDays: fields.dayOfWeek,
    eitherDay: [written.dayOfMonth, written.dayOfWeek].every(isRestricted),
    fixedTime: [written.minute, written.hour].every(isRestricted) && minutes.length < 60 && hours.length < 24,
  };
  if (!everComes(cron)) throw wrongField("dayOfMonth", written.dayOfMonth);
  return cron;
}

/** Splits a text into six fields: resolves macros, adds seconds and removes the year. */
function split(text: string): Record<FieldName, string> {
  const trimmed = text.trim();
  const macro = MACROS.get(trimmed.toLowerCase());
  if (macro === undefined && trimmed.startsWith("@")) {
    throw new CronError(`unknown word "${trimmed}": write one of ${[...MACROS.keys()].join(" ")}`);
  }
  const parts = (macro ?? trimmed).split(/\s+/);
  if (parts.length < 5 || parts.length > 7) {
    throw new CronError(
      `"${trimmed}" is not a cron expression: write minute, hour, day of month, month and day of week, such as "30 8 * * MON-FRI"`,
    );
  }
  if (parts.length === 5) parts.unshift("0");
  const [second = "", minute = "", hour = "", dayOfMonth = "", month = "", dayOfWeek = "", year = "*"] =
    parts;
  if (year !== "*" || /^\d{4}$/.test(dayOfWeek)) {
    throw new CronError(`"${trimmed}" names a year, which is not supported: write * or leave it out`);
  }
  return { second, minute, hour, dayOfMonth, month, dayOfWeek };
}

/**
 * Whether an item is well formed and its range is within bounds. node-cron alone is too lenient: it reads `5*` as
 * 50-59, `1jan` as 11 and `70-5` as 10-5, and it counts through all of `0-999999999`.
 */
function isItem(name: FieldName, item: string): boolean {
  const match = ITEM.exec(item);
  if (match === null) return false;
  const { min, max } = FIELDS[name];
  const [, first, last] = match;
  return ![first, last].some((end) => Number(end) < min || Number(end) > max);
}

/** Adds the end of the range to a bare step, as gronx does: `5/15` minutes are `5-59/15`. */
function closeSteps(name: FieldName, written: string): string {
  const end = name === "dayOfWeek" ? 6 : FIELDS[name].max; // not 7: that is Sunday again
  return written.replaceAll(/(^|,)(\w+)\//g, `$1$2-${end}/`);
}

function wrongField(name: FieldName, written: string): CronError {
  const { label, write } = FIELDS[name];
  return new CronError(`${label} "${written}" is not valid: write ${write}`);
}

function isRestricted(written: string): boolean {
  return !written.startsWith("*") && written !== "?";
}

function ascending(values: readonly number[]): number[] {
  return [...new Set(values)].sort((a, b) => a - b);
}

/** Whether a date is ever due. In 28 years every date falls on every day of the week. */
function everComes(cron: Cron): boolean {
  for (let day = Date.UTC(2000, 0); day < Date.UTC(2028, 0); day += DAY) {
    if (isDueOn(cron, new Date(day))) return true;
  }
  return false;
}
