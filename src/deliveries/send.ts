/** One try of a delivery: prepares what to send, and records the result with the next try. */
import type { SecretKeys } from "../access/secret-keys.ts";
import { secretValues } from "../access/secrets.ts";
import { CarillonError, OperatorError, withinSentence } from "../errors.ts";
import type { Infra } from "../infra.ts";
import { type ActionOptions, type NotifyAction, secretOfTarget } from "../jobs/rules/definition.ts";
import { type Database, databaseNow, type Tx } from "../postgres/client.ts";
import { newId } from "../postgres/ids.ts";
import { DELIVERY_QUEUE, type DeliveryMessage, deliveryMessage } from "../queue/messages.ts";
import type { Message, Queue } from "../queue/queue.ts";
import { publish } from "../queue/signals.ts";
import { redactionPatterns } from "../text/redaction.ts";
import {
  findDelivery,
  lockDelivery,
  replaceDeliveryMessage,
  type SendableDelivery,
} from "./delivery-rows.ts";
import { deliveryBody } from "./rules/payloads.ts";
import { deliveryDelayMs } from "./rules/retry-schedule.ts";

/** A row of the delivery's history; `number` counts from 1. */
interface Try {
  number: number;
  startedAt: Date;
  durationMs: number;
  status: number | null;
  error: string | null;
  response: string | null;
}

/** Records a try and the new state of its delivery. */
async function recordTry(
  tx: Tx,
  deliveryId: string,
  one: Try,
  after:
    | { state: "pending"; nextTryAt: Date; messageId: string }
    | { state: "delivered" | "failed" | "blocked"; finishedAt: Date },
): Promise<void> {
  await tx.deliveryTry.create({ data: { deliveryId, ...one } });
  const over = after.state === "pending" ? {} : { nextTryAt: null, messageId: null };
  await tx.delivery.update({ where: { id: deliveryId }, data: { ...over, ...after, tries: one.number } });
}

/** Characters. A shorter path segment may be an ordinary word, so it is not treated as a secret. */
const MIN_SEGMENT_LENGTH = 16;

/** The request that one delivery makes. */
export interface Notification {
  /** The id of the delivery: the same for every try. */
  id: string;
  url: string;
  headers: Readonly<Record<string, string>>;
  body: string;
  /** Values of the secrets to sign it with, by name. */
  secrets: ReadonlyMap<string, string>;
  /** Patterns that are redacted from the response before it is stored: path of the URL, values of headers and secrets. */
  hidden: readonly Buffer[];
  /** Why it cannot be sent; shown to users. */
  problem?: string;
}

/** Prepares the notification for a claimed message; undefined, with the message acknowledged, when it is no longer due. */
export async function openDelivery(
  { db, queue }: Infra,
  message: Message<DeliveryMessage>,
  { secretKeys }: { secretKeys: SecretKeys },
): Promise<Notification | undefined> {
  const delivery = await findDelivery(db.prisma, message.data.delivery_id);
  if (isDue(delivery, message)) {
    // The table holds notifications only; the column is shared with trigger_job.
    const action = delivery.action as NotifyAction;
    const { headers = {}, secrets = [] } = delivery.options as ActionOptions;
    const body = deliveryBody(action, delivery.event.body, delivery.id);
    const target = await withSecrets(db, delivery.url, secrets, { secretKeys });
    return {
      id: delivery.id,
      headers,
      body,
      ...target,
      hidden: hiddenPatterns(delivery.url, headers, target),
    };
  }
  await db.transaction((tx) => queue.acknowledge(tx, message));
  return undefined;
}

/**
 * Returns the patterns to redact. A receiver may echo what it was sent, whole or in part: the path without its query,
 * one segment of it, or a token without `Bearer`. Values shorter than any secret are not redacted.
 * @param named the URL as the action names it; a URL that is a secret is hidden even if it is only a host
 */
function hiddenPatterns(
  named: string,
  headers: Notification["headers"],
  { url, secrets }: Pick<Notification, "url" | "secrets">,
): Buffer[] {
  const { pathname, search, searchParams, href } = new URL(url);
  const isPlain = secretOfTarget(named) === undefined && pathname === "/" && search === "";
  const path = pathname.split("/").filter((part) => part.length >= MIN_SEGMENT_LENGTH);
  const parts = isPlain
    ? []
    : [url, href, pathname + search, pathname, search, ...path, ...searchParams.values()];
  const words = Object.values(headers).flatMap((value) => [value, ...value.split(/\s+/)]);
  const keys = [...secrets.values()].flatMap((value) => [value, value.replace(/^whsec_/, "")]);
  return redactionPatterns([...parts, ...words, ...keys]);
}

/** Reads the URL, which may itself be a secret, and the secrets to sign with. */
async function withSecrets(
  db: Database,
  target: string,
  names: readonly string[],
  keys: { secretKeys: SecretKeys },
): Promise<Pick<Notification, "url" | "secrets" | "problem">> {
  try {
    const secrets = await secretValues(db.prisma, names, keys);
    const name = secretOfTarget(target);
    if (name === undefined) return { url: target, secrets };
    const url = (await secretValues(db.prisma, [name], keys)).get(name)?.trim() ?? "";
    if (URL.canParse(url)) return { url, secrets };
    return { url: target, secrets, problem: `secret ${name} is not a URL` };
  } catch (error) {
    if (!(error instanceof CarillonError || error instanceof OperatorError)) throw error;
    return { url: target, secrets: new Map(), problem: withinSentence(error.message) };
  }
}

/** The result of a try; `blocked`: the guard refused the address. */
export interface TryResult extends Omit<Try, "number"> {
  result: "delivered" | "failed" | "blocked";
}

/** Puts a claimed delivery back for `waitMs` without a try. Throws ClaimLost when another node has it. */
export async function postponeDelivery(
  { db, queue }: Infra,
  message: Message<DeliveryMessage>,
  waitMs: number,
): Promise<void> {
  await db.transaction(async (tx) => {
    const delivery = await takeDelivery(queue, tx, message);
    if (delivery === undefined) return;
    const nextTryAt = new Date((await databaseNow(tx)).getTime() + waitMs);
    const next = deliveryMessage(delivery.id, newId(), nextTryAt);
    await replaceDeliveryMessage(tx, delivery.id, { messageId: next.id, nextTryAt });
    await queue.send(tx, DELIVERY_QUEUE, [next]);
  });
}

/** What decides when a failed delivery is tried again. */
export interface RetryTiming {
  /** A number in [0, 1), which places a wait within its jitter. */
  random: () => number;
  /** The waits between tries, in ms, before jitter. */
  delaysMs: readonly number[];
}

/** Records a try and plans the next one. Throws ClaimLost and changes nothing when another node has the delivery. */
export async function closeDelivery(
  { db, queue }: Infra,
  message: Message<DeliveryMessage>,
  { result, ...made }: TryResult,
  { random, delaysMs }: RetryTiming,
): Promise<void> {
  await db.transaction(async (tx) => {
    const delivery = await takeDelivery(queue, tx, message);
    if (delivery === undefined) return;
    const now = await databaseNow(tx);
    const number = delivery.tries + 1;
    const delay =
      result === "failed" ? deliveryDelayMs(number - delivery.earlierTries, random(), delaysMs) : undefined;
    if (delay === undefined) {
      await recordTry(tx, delivery.id, { ...made, number }, { state: result, finishedAt: now });
    } else {
      const nextTryAt = new Date(now.getTime() + delay);
      const next = deliveryMessage(delivery.id, newId(), nextTryAt);
      const pending = { state: "pending", nextTryAt, messageId: next.id } as const;
      await recordTry(tx, delivery.id, { ...made, number }, pending);
      await queue.send(tx, DELIVERY_QUEUE, [next]);
    }
    publish(tx, { type: "run_changed", run: delivery.event.runId });
  });
}

/** Locks the delivery of a claimed message and acknowledges the message; undefined when it is no longer due. */
async function takeDelivery(
  queue: Queue,
  tx: Tx,
  message: Message<DeliveryMessage>,
): Promise<SendableDelivery | undefined> {
  const delivery = await lockDelivery(tx, message.data.delivery_id);
  await queue.acknowledge(tx, message);
  return isDue(delivery, message) ? delivery : undefined;
}

function isDue(
  delivery: SendableDelivery | undefined,
  message: Message<DeliveryMessage>,
): delivery is SendableDelivery {
  return delivery?.state === "pending" && delivery.messageId === message.id;
}
