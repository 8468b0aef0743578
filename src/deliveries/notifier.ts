/** The loop that claims due deliveries, signs and sends them, and records the result of each try. */
import pLimit from "p-limit";
import type { SecretKeys } from "../access/secret-keys.ts";
import type { Infra } from "../infra.ts";
import type { Monitor, Part } from "../lifecycle.ts";
import { startClaimLoop } from "../queue/claim-loop.ts";
import { DELIVERY_QUEUE } from "../queue/messages.ts";
import { unlessClaimLost } from "../queue/queue.ts";
import { tendBacklog } from "./backlog.ts";
import { createBusyHosts, type Errand } from "./busy-hosts.ts";
import { type ClaimedDelivery, claimDeliveries } from "./claim.ts";
import { closeDelivery, putBackDelivery, type RetryTiming, type TryResult } from "./close.ts";
import type { Send, SendResult } from "./post-webhook.ts";
import { isHostUp } from "./rules/circuit.ts";
import { hostOf } from "./rules/host.ts";
import { type Notification, openDelivery } from "./send.ts";
import { UnusableSecret, webhookHeaders } from "./signature.ts";

/** Deliveries that may be in progress at the same time. */
const CONCURRENCY = 128;
export interface NotifierOptions extends RetryTiming {
  send: Send;
  secretKeys: SecretKeys;
  monitor: Monitor;
}

/** Triggers and settlements use the same connections. */
const ERRANDS_AT_ONCE = 2;

/** Starts the loop. `stop` claims nothing more and aborts the tries in progress, which are repeated later. */
export function startNotifier(infra: Infra, options: NotifierOptions): Part {
  const { send, monitor } = options;
  const aborted = new AbortController();
  const busyHosts = createBusyHosts(() => {
    runErrands();
    loop.claimSoon();
  });
  const errands = new Set<Promise<void>>();
  const limitErrands = pLimit(ERRANDS_AT_ONCE);
  const runErrand = async (errand: Errand) => {
    let changed: number | undefined;
    try {
      changed = await tendBacklog(infra, errand);
    } catch (error) {
      monitor.failed(error);
    }
    busyHosts.done(errand, changed);
  };
  const runErrands = () => {
    if (aborted.signal.aborted) return;
    for (const errand of busyHosts.takeErrands()) {
      const running = limitErrands(() => runErrand(errand)).finally(() => errands.delete(running));
      errands.add(running);
    }
  };
  const handle = async (delivery: ClaimedDelivery) => {
    const place = await busyHosts.enter(hostOf(delivery.url));
    if (place === undefined) return putBackDelivery(infra, delivery);
    let isUp: boolean | undefined;
    let startedAt: Date;
    let result: SendResult;
    try {
      const notification = await openDelivery(infra.db, delivery, options);
      startedAt = delivery.now();
      const sent = await signAndSend(send, notification, startedAt, aborted.signal);
      ({ result, isUp } = sent);
    } finally {
      place.leave(isUp);
    }
    if (aborted.signal.aborted && result.outcome === "failed") await putBackDelivery(infra, delivery);
    else await closeDelivery(infra, delivery, tryResult(startedAt, result), options);
  };
  const loop = startClaimLoop({
    signals: infra.signals,
    queueName: DELIVERY_QUEUE,
    claim: (count) => {
      runErrands();
      return claimDeliveries(infra, count, busyHosts);
    },
    concurrency: CONCURRENCY,
    most: busyHosts.mostToClaim,
    handle: (delivery) => unlessClaimLost(handle(delivery)),
    monitor,
    stopMs: 1_500,
  });
  return {
    ...loop,
    async stop(deadline) {
      aborted.abort();
      await loop.stop(deadline);
      await Promise.all(errands);
    },
  };
}

/** `isUp`: what the result says about the host; undefined when nothing was sent, or when the stop aborted it. */
async function signAndSend(
  send: Send,
  notification: Notification,
  now: Date,
  signal: AbortSignal,
): Promise<{ result: SendResult; isUp?: boolean | undefined }> {
  const { url, headers, body, secrets, hidden, problem } = notification;
  const unsent = (error: string) => ({ result: { outcome: "failed", error, durationMs: 0 } as const });
  if (problem !== undefined) return unsent(problem);
  let signed: Record<string, string>;
  try {
    signed = webhookHeaders({ ...notification, now }, secrets);
  } catch (error) {
    if (!(error instanceof UnusableSecret)) throw error;
    return unsent(error.message);
  }
  const result = await send({ url, headers: { ...headers, ...signed }, body, signal, hidden });
  return { result, isUp: signal.aborted ? undefined : isHostUp(result) };
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
