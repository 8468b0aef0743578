/** The scopes, and the calls that a grant allows. */

export const SCOPES = ["read", "trigger", "admin"] as const;
/** read: see everything but secrets. trigger: trigger jobs, and see their runs. admin: everything. */
export type Scope = (typeof SCOPES)[number];

/** The rights of a token. */
export interface Grant {
  /** The id of the token; ADMIN for the admin token. */
  id: string;
  name: string;
  scopes: readonly Scope[];
  /** Limits the scope `trigger` to these jobs; empty: no limit. */
  jobs: readonly string[];
}

/** The holder of a token who makes a call. */
export interface Caller extends Grant {
  /** The IP address that the call came from. */
  address: string;
}

/** The name of the admin token, which comes from the environment or from a file in DATA_DIR. */
export const ADMIN = "admin";

/** Whether a grant has one of these scopes; admin has all. */
export function allows({ scopes }: Grant, ...wanted: Scope[]): boolean {
  return scopes.includes("admin") || wanted.some((scope) => scopes.includes(scope));
}

/** Whether a grant lets its holder trigger this job. */
export function mayTrigger(grant: Grant, job: string): boolean {
  if (allows(grant, "admin")) return true;
  return allows(grant, "trigger") && (grant.jobs.length === 0 || grant.jobs.includes(job));
}
