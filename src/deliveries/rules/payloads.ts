/** Builds notification bodies: the generic one, which is frozen with its event, and those for Slack and Discord. */
import type { EventName, NotifyAction } from "../../jobs/rules/definition.ts";
import { endInBytes, endInUnits, startInUnits } from "../../text/cuts.ts";

/** Log bytes in a body for the run itself, and the same again for the run that triggered it. */
const NEAR_LOG_BYTES = 64 * 1024;
/** Log bytes that all older ancestors share. */
const FAR_LOGS_BYTES = 128 * 1024;
const SLACK_MAX_UNITS = 40_000;
const LONGEST_ENTITY = "&amp;".length;
const DISCORD_MAX_UNITS = 2_000;
/** A reason in a message leaves room for the log. */
const MAX_REASON_UNITS = 500;

/** The generic webhook body; a child run also shows it as `triggered_by_job_run`. */
export interface EventBody {
  status: number | null;
  log: string;
  name: string;
  triggered_at: string;
  triggered_by: string;
  /** Names of the jobs that this event triggers. */
  triggered: string[];
  /** 0 = first attempt. */
  retry_attempt: number;
  retries_exhausted: boolean;
  event: EventName;
  run_id: string;
  log_truncated: boolean;
  /** Why the attempt did not end by itself, such as `timed out after 10m`. */
  reason?: string;
  triggered_by_job_run?: EventBody;
}

/** Serialises a body, with its logs cut to 256 KiB in total. */
export function freezeBody(body: EventBody): string {
  const generations = lineage(body);
  const farShare = Math.floor(FAR_LOGS_BYTES / Math.max(1, generations.length - 2));
  const cut = generations.map((one, age) => withLogWithin(one, age < 2 ? NEAR_LOG_BYTES : farShare));
  return JSON.stringify(cut.reduceRight((parent, one) => ({ ...one, triggered_by_job_run: parent })));
}

/** Parses a frozen body. */
export function thawBody(text: string): EventBody {
  return JSON.parse(text) as EventBody;
}

/** Returns the JSON text that one delivery of a frozen body sends. */
export function deliveryBody(action: NotifyAction, frozen: string, deliveryId: string): string {
  switch (action) {
    case "notify_webhook":
      // The frozen text is a JSON object: the delivery id is appended without parsing it.
      return `${frozen.slice(0, -1)},"delivery_id":${JSON.stringify(deliveryId)}}`;
    case "notify_slack_webhook":
      return JSON.stringify({ text: slackMessage(thawBody(frozen)) });
    case "notify_discord_webhook":
      return JSON.stringify({
        content: discordMessage(thawBody(frozen)),
        allowed_mentions: { parse: [] },
      });
  }
}

/** The heading, then as much of the end of the log as fits. */
function discordMessage(body: EventBody): string {
  const head = chatHead(body);
  return head + endInUnits(chatLog(body), DISCORD_MAX_UNITS - head.length);
}

/** The same with `&`, `<` and `>` escaped, so that Slack finds no mention, channel or link in the text. */
function slackMessage(body: EventBody): string {
  const head = escapeForSlack(chatHead(body));
  const log = escapeForSlack(chatLog(body));
  const end = endInUnits(log, SLACK_MAX_UNITS - head.length);
  const before = log.slice(0, log.length - end.length);
  // In an escaped text every & starts an entity.
  const isEntityCut = /&[a-z]*$/.test(before.slice(-LONGEST_ENTITY));
  return head + (isEntityCut ? end.slice(end.indexOf(";") + 1) : end);
}

/** The heading, and a line with the reason. The log of a command that could not be started already says it. */
function chatHead({ name, status, reason, log }: EventBody): string {
  const heading = `${name} (exitcode ${status}):\n`;
  return reason === undefined || log.trim() === reason
    ? heading
    : `${heading}${startInUnits(reason, MAX_REASON_UNITS)}\n`;
}

/** The log with one line for each state of a progress bar, which a terminal draws over the one before. */
function chatLog({ log }: EventBody): string {
  return log.replaceAll(/\r\n?/g, "\n");
}

/** Slack requires exactly these three: https://api.slack.com/docs/message-formatting. */
function escapeForSlack(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

function lineage(body: EventBody): EventBody[] {
  const generations: EventBody[] = [];
  for (let one: EventBody | undefined = body; one !== undefined; one = one.triggered_by_job_run) {
    generations.push(one);
  }
  return generations;
}

function withLogWithin(body: EventBody, maxBytes: number): EventBody {
  const { triggered_by_job_run: _, ...own } = body;
  const log = endInBytes(own.log, maxBytes);
  return { ...own, log, log_truncated: own.log_truncated || log !== own.log };
}
