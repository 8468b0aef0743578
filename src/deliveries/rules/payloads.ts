/** The bodies of notifications: the generic one that is frozen with its event, and Slack's and Discord's. */
import type { EventName, NotifyAction } from "../../jobs/rules/definition.ts";
import { endInBytes, endInUnits } from "../../text/cuts.ts";

/** Bytes of log that the run itself and the one that triggered it may each have in a body. */
const NEAR_LOG_BYTES = 64 * 1024;
/** Bytes of log that all older ancestors share. */
const FAR_LOGS_BYTES = 128 * 1024;
const SLACK_MAX_UNITS = 40_000;
const LONGEST_ENTITY = "&amp;".length;
const DISCORD_MAX_UNITS = 2_000;

/** The generic webhook body (DESIGN 3); also what a child run shows of the run that triggered it. */
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
  triggered_by_job_run?: EventBody;
}

/** The body as text, its logs cut to what they may take together (256 KiB). */
export function freezeBody(body: EventBody): string {
  const generations = lineage(body);
  const farShare = Math.floor(FAR_LOGS_BYTES / Math.max(1, generations.length - 2));
  const cut = generations.map((one, age) => withLogWithin(one, age < 2 ? NEAR_LOG_BYTES : farShare));
  return JSON.stringify(cut.reduceRight((parent, one) => ({ ...one, triggered_by_job_run: parent })));
}

/** Reads a frozen body back. */
export function thawBody(text: string): EventBody {
  return JSON.parse(text) as EventBody;
}

/** What is sent for one delivery of a frozen body, as JSON text. */
export function deliveryBody(action: NotifyAction, frozen: string, deliveryId: string): string {
  switch (action) {
    case "notify_webhook":
      // The frozen text is an object; the delivery's own id joins it without touching the rest.
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

/** The head, and the end of the log that fits after it. */
function discordMessage(body: EventBody): string {
  const head = chatHead(body);
  return head + endInUnits(body.log, DISCORD_MAX_UNITS - head.length);
}

/** The same with `&`, `<` and `>` as entities, so that Slack finds no mention, channel or link between brackets. */
function slackMessage(body: EventBody): string {
  const head = escapeForSlack(chatHead(body));
  const log = escapeForSlack(body.log);
  const end = endInUnits(log, SLACK_MAX_UNITS - head.length);
  const before = log.slice(0, log.length - end.length);
  // An escaped text has no other & than those that begin an entity.
  const isEntityCut = /&[a-z]*$/.test(before.slice(-LONGEST_ENTITY));
  return head + (isEntityCut ? end.slice(end.indexOf(";") + 1) : end);
}

function chatHead({ name, status }: EventBody): string {
  return `${name} (exitcode ${status}):\n`;
}

/** https://api.slack.com/docs/message-formatting says that these three are all there is to escape. */
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
