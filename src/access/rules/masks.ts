/** Hides values that may be secret from callers without the scope admin: they see names only. */

import { type EventAction, type JobDefinition, secretOfTarget } from "../../jobs/rules/definition.ts";
import { REDACTED } from "../../text/redaction.ts";

/** Replaces every value. */
export function maskValues(values: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.keys(values).map((name) => [name, REDACTED]));
}

/** A URL without path and query, which are a credential for Slack and Discord. */
export function maskUrl(url: string): string {
  const parsed = URL.parse(url);
  // A URL that is itself a secret is stored as `secret:NAME`, which shows only its name.
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

/** A definition without the values of its env and headers, and without the paths of its webhooks. */
export function maskDefinition<Job extends Pick<JobDefinition, "env" | "actions">>(job: Job): Job {
  return { ...job, env: maskValues(job.env), actions: maskActions(job.actions) };
}
