/** Non-fatal problems of a document, which a save reports. */
import { ACTIONS, EVENTS } from "../../jobs/rules/definition.ts";
import type { EventsDocument } from "../schemas/events.ts";
import type { Warning } from "../schemas/fields.ts";

/** What warnings need to know beside the document. */
export interface Advice {
  /** The zone that the clocks of this host show. */
  hostTimezone: string;
  /** The zone of documents that name none. */
  defaultTimezone: string;
  /** Why a webhook to this URL would be blocked; undefined: nothing speaks against it. */
  refusal: (url: string) => string | undefined;
}

interface Warned extends EventsDocument {
  encoding?: string | undefined;
}

/** The parts of a job document, parsed or not, that warnings look at. */
interface WarnedJob extends Warned {
  command: string | string[];
  cron?: string | string[] | undefined;
  timezone?: string | undefined;
}

interface WarnedSchedule extends Warned {
  tz_location?: string | undefined;
  jobs: Record<string, WarnedJob>;
}

const UTC_NAMES = ["UTC", "UCT", "Etc/UTC", "Etc/UCT", "GMT", "Etc/GMT", "Zulu", "Etc/Zulu", "Universal"];
/** What sh does not hand on as it is; `~`, `#` and `NAME=` only where a word, or the command, begins. */
const SHELL_SYNTAX = /[|&;<>()$`\\"'*?[\n]|(?<!\S)[~#]|^\s*\w+=/;
const MAX_SHOWN = 200;

/**
 * Of a job, or of what a schedule says beside its jobs.
 * @param prefix stands before the paths, such as `jobs.coffee.`
 */
export function jobWarnings(job: Warned, { refusal }: Advice, prefix = ""): Warning[] {
  return [...addressWarnings(job, refusal, prefix), ...encodingWarnings(job, prefix)];
}

/** Of a whole schedule, which may be a file that was made for cheek. */
export function scheduleWarnings(schedule: WarnedSchedule, advice: Advice): Warning[] {
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

function encodingWarnings({ encoding }: Warned, prefix: string): Warning[] {
  if (encoding === undefined || /^(utf-?8|ascii)$/i.test(encoding)) return [];
  return [{ path: `${prefix}encoding`, message: `output is read as UTF-8 and not as ${encoding}` }];
}

// cheek splits a string at its blanks and hands the parts on as they are.
function shellWarnings({ command }: WarnedJob, prefix: string): Warning[] {
  const found = typeof command === "string" ? SHELL_SYNTAX.exec(command)?.[0] : undefined;
  if (typeof command !== "string" || found === undefined) return [];
  const list = JSON.stringify(command.split(/\s+/).filter((part) => part !== ""));
  const instead = list.length > MAX_SHOWN ? "as a list" : `as ${list}`;
  const message = `this string runs through /bin/sh, where ${JSON.stringify(found.trim())} has a meaning; where it should have none, write the command ${instead}`;
  return [{ path: `${prefix}command`, message }];
}

// cheek reads cron expressions in the zone of its host.
function zoneWarnings(schedule: WarnedSchedule, { hostTimezone, defaultTimezone }: Advice): Warning[] {
  const same = hostTimezone === defaultTimezone || [hostTimezone, defaultTimezone].every(isUtc);
  const concerns = Object.values(schedule.jobs).some(
    ({ cron = [], timezone }) => cron.length > 0 && timezone === undefined,
  );
  if (schedule.tz_location !== undefined || same || !concerns) return [];
  const message = `without it cron expressions are read in ${defaultTimezone}, and this host is in ${hostTimezone}`;
  return [{ path: "tz_location", message }];
}

function isUtc(zone: string): boolean {
  return UTC_NAMES.includes(zone);
}
