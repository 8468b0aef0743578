/** Compares two documents or definitions field by field. */
import { EVENTS, type EventAction, type JobDefinition, type ScheduleDefinition } from "./definition.ts";

const JOB_FIELDS = {
  schedule: "schedule",
  command: "command",
  cron: "cron",
  timezone: "timezone",
  env: "env",
  secretEnv: "env",
  params: "params",
  workingDirectory: "working_directory",
  user: "user",
  retry: "retry",
  timeoutMs: "timeout",
  concurrency: "concurrency",
  missedRuns: "missed_runs",
  jitterMs: "jitter",
  pool: "pool",
  logLimitBytes: "log_limit",
  logRetentionMs: "log_retention_period",
  allowCycle: "allow_cycle",
  enabled: "enabled",
  description: "description",
  labels: "labels",
} as const satisfies Record<Exclude<keyof JobDefinition, "name" | "actions">, string>;

const SCHEDULE_FIELDS = {
  tzLocation: "tz_location",
  logRetentionMs: "log_retention_period",
} as const satisfies Record<Exclude<keyof ScheduleDefinition, "name" | "jobs" | "actions">, string>;

/** The fields of a job that have changed, such as `["cron", "on_error"]`. */
export function changedJobFields(before: JobDefinition, after: JobDefinition): string[] {
  return changedFields(JOB_FIELDS, before, after);
}

type Settings = Omit<ScheduleDefinition, "name" | "jobs">;

/** The fields of a schedule that have changed, without its jobs. */
export function changedScheduleFields(before: Settings, after: Settings): string[] {
  return changedFields(SCHEDULE_FIELDS, before, after);
}

function changedFields<Definition extends { actions: readonly EventAction[] }>(
  names: Readonly<Record<string, string>>,
  before: Definition,
  after: Definition,
): string[] {
  const changed = Object.entries(names).flatMap(([key, name]) =>
    documentDiff(field(before, key), field(after, key)).length > 0 ? [name] : [],
  );
  const events = EVENTS.filter(
    (event) => documentDiff(actionsOf(before, event), actionsOf(after, event)).length > 0,
  );
  return [...new Set([...changed, ...events])];
}

function field(definition: object, key: string): unknown {
  return Object.entries(definition).find(([name]) => name === key)?.[1];
}

function actionsOf({ actions }: { actions: readonly EventAction[] }, event: EventAction["event"]) {
  return actions.filter((action) => action.event === event);
}

/** A field that differs; the value null means that the field is missing. */
export interface FieldChange {
  /** `retry.limit`; lists count as one value. */
  path: string;
  before: unknown;
  after: unknown;
}

/** The fields in which two JSON values differ, in the order of the first value. */
export function documentDiff(before: unknown, after: unknown, path: readonly string[] = []): FieldChange[] {
  if (isObject(before) && isObject(after)) {
    const keys = new Set([...Object.keys(before), ...Object.keys(after)]);
    return [...keys].flatMap((key) => documentDiff(before[key], after[key], [...path, key]));
  }
  if (JSON.stringify(before) === JSON.stringify(after)) return [];
  return [{ path: path.join("."), before: before ?? null, after: after ?? null }];
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
