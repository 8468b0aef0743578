/** What callers without the scope admin see of values that may be secret: their names. */

import { type EventAction, type JobDefinition, secretOfTarget } from "../../jobs/rules/definition.ts";
import { REDACTED } from "../../text/redaction.ts";

/** The same names, with no value. */
export function maskValues(values: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.keys(values).map((name) => [name, REDACTED]));
}

/** Where a webhook goes, without the path and query: whoever knows Slack's can post there. */
export function maskUrl(url: string): string {
  const parsed = URL.parse(url);
  // One that is a secret is named, not shown.
  if (parsed === null || secretOfTarget(url) !== undefined) return url;
  return parsed.pathname === "/" && parsed.search === "" ? url : `${parsed.origin}/…`;
}

/** Actions without the paths of their URLs and the values of their headers. */
export function maskActions(actions: readonly EventAction[]): EventAction[] {
  return actions.map((action) => ({
    ...action,
    ...(action.action !== "trigger_job" && { target: maskUrl(action.target) }),
    ...(action.headers && { headers: maskValues(action.headers) }),
  }));
}

/** A definition without the values of its env, of its headers, and the paths of its webhooks. */
export function maskDefinition<Job extends Pick<JobDefinition, "env" | "actions">>(job: Job): Job {
  return { ...job, env: maskValues(job.env), actions: maskActions(job.actions) };
}
