/** The loop that claims due deliveries, signs and sends them, and records the result of each try. */
import type { SecretKeys } from "../access/secret-keys.ts";
import type { Infra } from "../infra.ts";
import { secretOfTarget } from "../jobs/rules/definition.ts";
import type { Monitor, Part } from "../lifecycle.ts";
import { startClaimLoop } from "../queue/claim-loop.ts";
import { DELIVERY_QUEUE } from "../queue/messages.ts";
import { unlessClaimLost } from "../queue/queue.ts";
import { createBusyHosts } from "./busy-hosts.ts";
import { type ClaimedDelivery, claimDeliveries } from "./claim.ts";
import { closeDelivery, postponeDelivery, type RetryTiming, type TryResult } from "./close.ts";
import type { Send, SendResult } from "./post-webhook.ts";
import { type Notification, openDelivery } from "./send.ts";
import { UnusableSecret, webhookHeaders } from "./signature.ts";

/** Deliveries that may be in progress at the same time. */
const CONCURRENCY = 128;
export interface NotifierOptions extends RetryTiming {
  send: Send;
  secretKeys: SecretKeys;
  monitor: Monitor;
}

/** Starts the loop. `stop` claims nothing more and aborts the tries in progress, which are repeated later. */
export function startNotifier(infra: Infra, options: NotifierOptions): Part {
  const { send, monitor } = options;
  const aborted = new AbortController();
  const busyHosts = createBusyHosts();
  const handle = async (delivery: ClaimedDelivery) => {
    const place = await busyHosts.enter(hostOf(delivery));
    if ("postponeMs" in place) return postponeDelivery(infra, delivery.message, place.postponeMs);
    try {
      const notification = await openDelivery(infra.db, delivery, options);
      const startedAt = delivery.now();
      const result = await signAndSend(notification, startedAt);
      if (aborted.signal.aborted && result.outcome === "failed")
        await postponeDelivery(infra, delivery.message, 0);
      else await closeDelivery(infra, delivery.message, tryResult(startedAt, result), options);
    } finally {
      place.leave();
    }
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
    signals: infra.signals,
    queueName: DELIVERY_QUEUE,
    claim: (count) => claimDeliveries(infra, count),
    concurrency: CONCURRENCY,
    handle: (delivery) => unlessClaimLost(handle(delivery)),
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

/** The host of a delivery. What a secret says is not known yet, so all with the same secret count as one. */
function hostOf({ url }: ClaimedDelivery): string {
  return secretOfTarget(url) === undefined ? new URL(url).host : url;
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
