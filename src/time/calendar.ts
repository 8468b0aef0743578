/** Decides on which dates a cron expression is due. */

/** A day of the month: a number, `L` (the last), `L-3`, `15W` (the weekday nearest to it) or `LW`. */
export type MonthDay = number | string;

/** A day of the week: 0 (Sunday) to 6, `5#2` (the second Friday of the month) or `5L` (the last one). */
export type WeekDay = number | string;

/** The date fields of a cron expression. */
export interface DateFields {
  readonly months: readonly number[];
  readonly monthDays: readonly MonthDay[];
  readonly weekDays: readonly WeekDay[];
  /** Both day fields are restricted, so a date that matches one of them is due: crontab's rule. */
  readonly eitherDay: boolean;
}

/** Whether the fields match a local date, given as the UTC midnight of that date. */
export function isDueOn(fields: DateFields, date: Date): boolean {
  if (!fields.months.includes(date.getUTCMonth() + 1)) return false;
  const onMonthDay = fields.monthDays.some((day) => isMonthDay(day, date));
  const onWeekDay = fields.weekDays.some((day) => isWeekDay(day, date));
  return fields.eitherDay ? onMonthDay || onWeekDay : onMonthDay && onWeekDay;
}

function isMonthDay(day: MonthDay, date: Date): boolean {
  const today = date.getUTCDate();
  if (typeof day === "number") return day === today;
  const last = lastDayOfMonth(date);
  if (day.endsWith("W")) {
    const target = day === "LW" ? last : Number.parseInt(day, 10);
    return today === nearestWorkday(date, target, last);
  }
  return today === last - (day === "L" ? 0 : Number(day.slice("L-".length)));
}

function isWeekDay(day: WeekDay, date: Date): boolean {
  if (typeof day === "number") return day === date.getUTCDay();
  if (Number(day[0]) !== date.getUTCDay()) return false;
  if (day.endsWith("L")) return date.getUTCDate() + 7 > lastDayOfMonth(date);
  return Math.ceil(date.getUTCDate() / 7) === Number(day.slice("5#".length));
}

/** The weekday nearest to the target day within the month; undefined if the month does not have the target day. */
function nearestWorkday(date: Date, target: number, last: number): number | undefined {
  if (target > last) return undefined;
  const weekDay = new Date(Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), target)).getUTCDay();
  if (weekDay === 6) return target === 1 ? 3 : target - 1;
  if (weekDay === 0) return target === last ? target - 2 : target + 1;
  return target;
}

function lastDayOfMonth(date: Date): number {
  return new Date(Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 0)).getUTCDate();
}
