/** What callers without the scope admin see of values that may be secret: their names. */
import type { EventAction, JobDefinition } from "./job.ts";
import { REDACTED } from "./redaction.ts";

/** The same names, with no value. */
export function maskValues(values: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.keys(values).map((name) => [name, REDACTED]));
}

/** Actions without the values of their headers. */
export function maskActions(actions: readonly EventAction[]): EventAction[] {
  return actions.map((action) =>
    action.headers ? { ...action, headers: maskValues(action.headers) } : action,
  );
}

/** A definition without the values of its env and of its headers. */
export function maskDefinition<Job extends Pick<JobDefinition, "env" | "actions">>(job: Job): Job {
  return { ...job, env: maskValues(job.env), actions: maskActions(job.actions) };
}
