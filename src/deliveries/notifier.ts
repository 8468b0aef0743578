/** The loop that claims due deliveries, signs and sends them, and records the result of each try. */
import type { SecretKeys } from "../access/secret-keys.ts";
import type { Infra } from "../infra.ts";
import type { Monitor, Part } from "../lifecycle.ts";
import { startClaimLoop } from "../queue/claim-loop.ts";
import { DELIVERY_QUEUE, type DeliveryMessage } from "../queue/messages.ts";
import { type Message, unlessClaimLost } from "../queue/queue.ts";
import type { Send, SendResult } from "./post-webhook.ts";
import {
  closeDelivery,
  type Notification,
  openDelivery,
  postponeDelivery,
  type RetryTiming,
  type TryResult,
} from "./send.ts";
import { UnusableSecret, webhookHeaders } from "./signature.ts";

/** Deliveries that may be in progress at the same time. */
const CONCURRENCY = 128;
/** The same per receiver, so that a dead receiver does not delay the others. */
const PER_HOST = 8;
/** Wait (ms) of a delivery whose receiver already has `PER_HOST` in progress. */
const BUSY_WAIT_MS = 2_000;

export interface NotifierOptions extends RetryTiming {
  send: Send;
  secretKeys: SecretKeys;
  monitor: Monitor;
}

/** Starts the loop. `stop` claims nothing more and aborts the tries in progress, which are repeated later. */
export function startNotifier(infra: Infra, options: NotifierOptions): Part {
  const { db, queue, signals } = infra;
  const { send, monitor } = options;
  const aborted = new AbortController();
  const inProgress = new Map<string, number>();
  const handle = async (message: Message<DeliveryMessage>) => {
    const notification = await openDelivery(infra, message, options);
    if (notification === undefined) return;
    const { host } = new URL(notification.url);
    const others = inProgress.get(host) ?? 0;
    if (others >= PER_HOST) return postponeDelivery(infra, message, BUSY_WAIT_MS);
    inProgress.set(host, others + 1);
    try {
      await tryOnce(message, notification);
    } finally {
      const left = (inProgress.get(host) ?? 1) - 1;
      if (left > 0) inProgress.set(host, left);
      else inProgress.delete(host);
    }
  };
  const tryOnce = async (message: Message<DeliveryMessage>, notification: Notification) => {
    const startedAt = await db.now();
    const result = await signAndSend(notification, startedAt);
    if (aborted.signal.aborted && result.outcome === "failed") await postponeDelivery(infra, message, 0);
    else await closeDelivery(infra, message, tryResult(startedAt, result), options);
  };
  const signAndSend = async (notification: Notification, now: Date): Promise<SendResult> => {
    const { url, headers, body, secrets, hidden, problem } = notification;
    if (problem !== undefined) return { outcome: "failed", error: problem, durationMs: 0 };
    try {
      const signed = webhookHeaders({ ...notification, now }, secrets);
      return await send({ url, headers: { ...headers, ...signed }, body, signal: aborted.signal, hidden });
    } catch (error) {
      if (!(error instanceof UnusableSecret)) throw error;
      return { outcome: "failed", error: error.message, durationMs: 0 };
    }
  };
  const loop = startClaimLoop({
    signals,
    queueName: DELIVERY_QUEUE,
    claim: (count) => queue.claim<DeliveryMessage>(DELIVERY_QUEUE, count),
    concurrency: CONCURRENCY,
    handle: (message) => unlessClaimLost(handle(message)),
    monitor,
    stopMs: 1_500,
  });
  return {
    ...loop,
    async stop(deadline) {
      aborted.abort();
      await loop.stop(deadline);
    },
  };
}

function tryResult(startedAt: Date, sent: SendResult): TryResult {
  const { durationMs } = sent;
  switch (sent.outcome) {
    case "answered": {
      const result = sent.status >= 200 && sent.status < 300 ? "delivered" : "failed";
      return { result, startedAt, durationMs, status: sent.status, error: null, response: sent.response };
    }
    case "failed":
    case "blocked":
      return { result: sent.outcome, startedAt, durationMs, status: null, error: sent.error, response: null };
  }
}
