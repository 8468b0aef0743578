/** What the routes are given beside the infrastructure; each of them takes what it reads. */
import type { Authenticator } from "../access/authenticate.ts";
import type { SecretKeys } from "../access/secret-keys.ts";
import type { LogReader } from "../logs/reader.ts";
import type { DeletionCount } from "../runs/retain.ts";
import type { SchedulerNumbers } from "../scheduler/overdue.ts";
import type { Readiness } from "./readiness.ts";
import type { Advice } from "./views/warnings.ts";

export interface ApiSettings {
  /** The zone of jobs and schedules that name none. */
  defaultTimezone: string;
  secretKeys: SecretKeys;
  authenticator: Authenticator;
  /** The reader of output and progress that all callers share. */
  reader: LogReader;
  /** Aborted when the service stops: callers that wait get an answer at once. */
  closing: AbortSignal;
  /** What saves warn about. */
  advice: Advice;
  /** Of this process. */
  readiness(): Promise<Readiness>;
  numbers: ProcessNumbers;
}

/** What only this process knows. */
export interface ProcessNumbers {
  /** How its own scheduler is doing, and how far all schedulers have come. */
  scheduler(): Promise<SchedulerNumbers>;
  /** What its retention has deleted since it started. */
  deleted(): DeletionCount;
}
