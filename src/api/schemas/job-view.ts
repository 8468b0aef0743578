/** A job as the API answers it: its document, with what follows from it. */
import { z } from "zod";
import { parseCron } from "../../core/cron.ts";
import { formatDuration } from "../../core/duration.ts";
import { ACTIONS, EVENTS, type EventAction, type RetryPolicy } from "../../core/job.ts";
import { nextSlots } from "../../core/slots.ts";
import type { StoredJob } from "../../db/definitions.ts";
import { JOB_VIEW } from "./examples.ts";
import { eventFields, type eventsSchema } from "./job.ts";

const NEXT_RUNS = 3;

export const jobViewSchema = z
  .object({
    name: z.string(),
    schedule: z.string(),
    command: z.union([z.string(), z.array(z.string())]),
    cron: z.union([z.string(), z.array(z.string())]).optional(),
    timezone: z.string().describe("The zone in force"),
    env: z.record(z.string(), z.string()),
    working_directory: z.string().optional(),
    retries: z.int(),
    retry: z.object({
      limit: z.int(),
      delay: z.string(),
      backoff: z.enum(["constant", "exponential"]),
      max_delay: z.string().optional(),
      jitter: z.number(),
      exit_codes: z.array(z.int()),
    }),
    timeout: z.string().optional(),
    enabled: z.boolean(),
    description: z.string().optional(),
    labels: z.record(z.string(), z.string()),
    ...eventFields,
    revision: z.int(),
    created_at: z.iso.datetime(),
    updated_at: z.iso.datetime(),
    next_runs: z.array(z.iso.datetime()).describe("The next slots, in UTC"),
  })
  .meta({ id: "JobView", example: JOB_VIEW });

export const jobListSchema = z
  .object({ items: z.array(jobViewSchema), next_cursor: z.string().nullable() })
  .meta({ id: "JobList", example: { items: [JOB_VIEW], next_cursor: null } });

/** The events of a document, as they were given. */
export function eventsView(actions: readonly EventAction[]): z.input<typeof eventsSchema> {
  const ofEvent = (event: EventAction["event"]) => {
    const own = actions.filter((one) => one.event === event);
    return Object.fromEntries(
      ACTIONS.map((action) => [
        action,
        own.filter((one) => one.action === action).map((one) => one.target),
      ]).filter(([, targets]) => targets?.length !== 0),
    );
  };
  const used = EVENTS.filter((event) => actions.some((one) => one.event === event));
  return Object.fromEntries(used.map((event) => [event, ofEvent(event)]));
}

/**
 * A job on the wire.
 * @param now the next slots are counted from here
 */
export function jobView(job: StoredJob, defaultTimezone: string, now: Date): z.input<typeof jobViewSchema> {
  const { definition: d } = job;
  const timezone = d.timezone ?? job.scheduleTimezone ?? defaultTimezone;
  const slots = d.enabled
    ? nextSlots({ crons: d.cron.map(parseCron), zone: timezone, after: now, count: NEXT_RUNS })
    : [];
  return {
    name: d.name,
    schedule: d.schedule,
    command: d.command.kind === "shell" ? d.command.text : [...d.command.argv],
    ...(d.cron.length > 0 && { cron: d.cron.length === 1 ? String(d.cron[0]) : [...d.cron] }),
    timezone,
    env: { ...d.env },
    ...(d.workingDirectory !== null && { working_directory: d.workingDirectory }),
    retries: d.retry.limit,
    retry: retryView(d.retry),
    ...(d.timeoutMs !== null && { timeout: formatDuration(d.timeoutMs) }),
    enabled: d.enabled,
    ...(d.description !== null && { description: d.description }),
    labels: { ...d.labels },
    ...eventsView(d.actions),
    revision: job.revision,
    created_at: job.createdAt.toISOString(),
    updated_at: job.updatedAt.toISOString(),
    next_runs: slots.map((slot) => slot.toISOString()),
  };
}

function retryView(retry: RetryPolicy): z.input<typeof jobViewSchema>["retry"] {
  return {
    limit: retry.limit,
    delay: formatDuration(retry.delayMs),
    backoff: retry.backoff,
    ...(retry.maxDelayMs !== null && { max_delay: formatDuration(retry.maxDelayMs) }),
    jitter: retry.jitter,
    exit_codes: [...retry.exitCodes],
  };
}
