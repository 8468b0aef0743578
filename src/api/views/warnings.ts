/** Finds the non-fatal problems of a document, which a save reports. */
import { ACTIONS, EVENTS } from "../../jobs/rules/definition.ts";
import { parseCron } from "../../time/cron.ts";
import { formatDuration, parseDuration } from "../../time/duration.ts";
import { smallestGapMs } from "../../time/gaps.ts";
import type { EventsDocument } from "../schemas/events.ts";
import type { Warning } from "../schemas/fields.ts";

/** The facts, beside the document, that warnings depend on. */
export interface Advice {
  /** The time zone of this host. */
  hostTimezone: string;
  /** The time zone of documents that set none. */
  defaultTimezone: string;
  /** Returns why a webhook to this URL would be blocked; undefined when it would not. */
  refusal: (url: string) => string | undefined;
}

/** The fields of jobs and schedules that warnings read. */
interface DocumentPart extends EventsDocument {
  encoding?: string | undefined;
  cron?: string | string[] | undefined;
  /** In ms once parsed. */
  jitter?: string | number | undefined;
}

/** The fields of a job document, parsed or not, that warnings read. */
interface JobPart extends DocumentPart {
  command: string | string[];
  timezone?: string | undefined;
}

/** The fields of a schedule document that warnings read. */
interface SchedulePart extends DocumentPart {
  tz_location?: string | undefined;
  jobs: Record<string, JobPart>;
}

const UTC_NAMES = ["UTC", "UCT", "Etc/UTC", "Etc/UCT", "GMT", "Etc/GMT", "Zulu", "Etc/Zulu", "Universal"];
/** Characters that sh interprets; `~` and `#` only at the start of a word, `NAME=` only at the start of the command. */
const SHELL_SYNTAX = /[|&;<>()$`\\"'*?[\n]|(?<!\S)[~#]|^\s*\w+=/;
const MAX_SHOWN = 200;

/**
 * Returns the warnings for a job, or for a schedule without its jobs.
 * @param prefix added to the front of each path, such as `jobs.coffee.`
 */
export function jobWarnings(job: DocumentPart, { refusal }: Advice, prefix = ""): Warning[] {
  return [
    ...addressWarnings(job, refusal, prefix),
    ...encodingWarnings(job, prefix),
    ...jitterWarnings(job, prefix),
  ];
}

/** Returns the warnings for a whole schedule, which may be a cheek file. */
export function scheduleWarnings(schedule: SchedulePart, advice: Advice): Warning[] {
  return [
    ...zoneWarnings(schedule, advice),
    ...jobWarnings(schedule, advice),
    ...Object.entries(schedule.jobs).flatMap(([name, job]) => [
      ...shellWarnings(job, `jobs.${name}.`),
      ...jobWarnings(job, advice, `jobs.${name}.`),
    ]),
  ];
}

function addressWarnings(events: EventsDocument, refusal: Advice["refusal"], prefix: string): Warning[] {
  return EVENTS.flatMap((event) =>
    ACTIONS.flatMap((action) => {
      if (action === "trigger_job") return [];
      return (events[event]?.[action] ?? []).flatMap((target, index) => {
        const url = typeof target === "string" ? target : target.url;
        const message = typeof url === "string" ? refusal(url) : undefined;
        return message === undefined ? [] : [{ path: `${prefix}${event}.${action}.${index}`, message }];
      });
    }),
  );
}

function encodingWarnings({ encoding }: DocumentPart, prefix: string): Warning[] {
  if (encoding === undefined || /^(utf-?8|ascii)$/i.test(encoding)) return [];
  return [{ path: `${prefix}encoding`, message: `output is always read as UTF-8, not as ${encoding}` }];
}

function jitterWarnings({ cron = [], jitter = 0 }: DocumentPart, prefix: string): Warning[] {
  const ms = typeof jitter === "number" ? jitter : (parseDuration(jitter) ?? 0);
  if (ms === 0) return [];
  const gap = smallestGapMs([cron].flat().map(parseCron));
  if (ms < gap) return [];
  const message = `is not shorter than the shortest time between two slots, ${formatDuration(gap)}: runs of different slots may overlap or start in another order`;
  return [{ path: `${prefix}jitter`, message }];
}

// cheek splits a string at spaces and passes the parts on unchanged.
function shellWarnings({ command }: JobPart, prefix: string): Warning[] {
  const found = typeof command === "string" ? SHELL_SYNTAX.exec(command)?.[0] : undefined;
  if (typeof command !== "string" || found === undefined) return [];
  const list = JSON.stringify(command.split(/\s+/).filter((part) => part !== ""));
  const instead = list.length > MAX_SHOWN ? "as a list" : `as ${list}`;
  const message = `this string runs through /bin/sh, which interprets ${JSON.stringify(found.trim())}; to prevent that, write the command ${instead}`;
  return [{ path: `${prefix}command`, message }];
}

// cheek reads cron expressions in the zone of its host.
function zoneWarnings(schedule: SchedulePart, { hostTimezone, defaultTimezone }: Advice): Warning[] {
  const same = hostTimezone === defaultTimezone || [hostTimezone, defaultTimezone].every(isUtc);
  const concerns = Object.values(schedule.jobs).some(
    ({ cron = [], timezone }) => cron.length > 0 && timezone === undefined,
  );
  if (schedule.tz_location !== undefined || same || !concerns) return [];
  const message = `not set: cron expressions use the time zone ${defaultTimezone}, but the time zone of this host is ${hostTimezone}`;
  return [{ path: "tz_location", message }];
}

function isUtc(zone: string): boolean {
  return UTC_NAMES.includes(zone);
}
