/** What every use case works with. */
import type { Authenticator } from "./access/authenticate.ts";
import type { Caller } from "./access/rules/grants.ts";
import type { SecretKeys } from "./access/secret-keys.ts";
import type { Database, Tx } from "./postgres/client.ts";
import type { Queue } from "./queue/queue.ts";
import type { Signals } from "./queue/signals.ts";

export interface Deps {
  db: Database;
  queue: Queue;
  signals: Signals;
  /** The zone of jobs and schedules that name none. */
  defaultTimezone: string;
  /** A number in [0, 1); places delays within their jitter. */
  random: () => number;
  /** Waits before the tries of a delivery, in ms. */
  deliveryDelaysMs: readonly number[];
  /** Aborted when the service stops: whoever waits is answered as things stand. */
  closing: AbortSignal;
  /** What secrets are encrypted with. */
  secretKeys: SecretKeys;
  /** Knows which tokens stand. */
  authenticator: Authenticator;
  /** For whom a use case is at work; unset: the service itself, which may do everything. */
  caller?: Caller;
}

/** At work for somebody. What shows values that not everybody may see takes this: nobody named is not the service itself. */
export interface CallerDeps extends Deps {
  caller: Caller;
}

/** The same, at work for somebody: it does what they may, and the audit names them. */
export function as(deps: Deps, caller: Caller): CallerDeps {
  return { ...deps, caller };
}

export type { Tx };
