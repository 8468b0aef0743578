/** What callers may do to which job and run, beyond what the route already knows. */
import { CarillonError } from "../errors.ts";
import type { JobDefinition } from "../jobs/rules/definition.ts";
import { allows, type Caller, mayTrigger } from "./rules/grants.ts";

/** Throws forbidden unless the caller may trigger this job, whether or not there is one of this name. */
export function requireTrigger(caller: Caller, job: string): void {
  if (mayTrigger(caller, job)) return;
  throw new CarillonError(
    "forbidden",
    caller.scopes.includes("trigger")
      ? `The token ${caller.name} has the scope trigger for other jobs than ${job}`
      : `The token ${caller.name} lacks the scope trigger`,
  );
}

/** Throws forbidden when a caller without the scope admin sets variables that the job does not list in `params`. */
export function requireParams(caller: Caller, job: JobDefinition, env: object): void {
  if (allows(caller, "admin")) return;
  const refused = Object.keys(env).filter((name) => !job.params.includes(name));
  if (refused.length === 0) return;
  throw new CarillonError(
    "forbidden",
    `Without the scope admin a trigger sets only what the job lists in params, and not ${refused.join(", ")}`,
    refused.map((name) => ({ path: `env.${name}`, message: `is not in the params of job ${job.name}` })),
  );
}
