/** The settings of the routes beside the infrastructure; each route picks those that it reads. */
import type { Authenticator } from "../access/authenticate.ts";
import type { SecretKeys } from "../access/secret-keys.ts";
import type { LogReader } from "../logs/reader.ts";
import type { DeletionCount } from "../runs/retain.ts";
import type { SchedulerNumbers } from "../scheduler/overdue.ts";
import type { Readiness } from "./readiness.ts";
import type { Advice } from "./views/warnings.ts";

export interface ApiSettings {
  /** The time zone of jobs and schedules that set none. */
  defaultTimezone: string;
  secretKeys: SecretKeys;
  authenticator: Authenticator;
  /** Reads output and progress; all callers share it. */
  reader: LogReader;
  /** Aborted when the service stops, so that waiting callers get their response at once. */
  closing: AbortSignal;
  /** The settings behind the warnings of a save. */
  advice: Advice;
  /** Checks whether this process is ready. */
  readiness(): Promise<Readiness>;
  numbers: ProcessNumbers;
}

/** Numbers that only this process knows. */
export interface ProcessNumbers {
  /** The timing of its own scheduler, and the oldest overdue slot of all schedulers. */
  scheduler(): Promise<SchedulerNumbers>;
  /** Rows that its retention has deleted since the process started. */
  deleted(): DeletionCount;
}
