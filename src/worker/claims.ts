/** Renews all claims of a worker together, and gives up a claim before another worker may take over. */

import type { Monitor } from "../lifecycle.ts";
import { claimTimeLeftMs, RENEW_EVERY_MS } from "../queue/messages.ts";
import type { Message, Queue } from "../queue/queue.ts";

interface Claim {
  message: Message<unknown>;
  giveUp: () => void;
  renewed: (leftMs: number) => void;
}

export interface Claims {
  /**
   * Renews a claim until `release`, and updates its `claimedAt`. `giveUp` is called once when the claim is lost or
   * could not be renewed in time; `renewed` after each renewal, with the ms for which the claim is valid.
   */
  hold(message: Message<unknown>, giveUp: () => void, renewed: (leftMs: number) => void): void;
  release(message: Message<unknown>): void;
  /** Whether the claim may still be valid. */
  has(message: Message<unknown>): boolean;
  close(): void;
}

/** @param monitor counts the renewals; with nothing to renew, each is a success */
export function createClaims(
  queue: Queue,
  queueName: string,
  monitor: Pick<Monitor, "succeeded" | "failed">,
): Claims {
  const held = new Map<string, Claim>();
  const renew = async () => {
    const startedAt = performance.now();
    const claims = [...held.values()];
    const renewed = await queue.renew(
      queueName,
      claims.map(({ message }) => message),
    );
    for (const claim of claims) {
      if (renewed.has(claim.message.id)) {
        claim.message.claimedAt = Math.max(claim.message.claimedAt, startedAt);
        claim.renewed(claimTimeLeftMs(claim.message.claimedAt));
      } else if (held.delete(claim.message.id)) claim.giveUp();
    }
  };
  const giveUpOverdue = () => {
    for (const [id, claim] of held) {
      if (claimTimeLeftMs(claim.message.claimedAt) > 0) continue;
      held.delete(id);
      claim.giveUp();
    }
  };
  const renewal = setInterval(() => void renew().then(monitor.succeeded, monitor.failed), RENEW_EVERY_MS);
  // A timer of its own, because a renewal may hang on a database that does not answer.
  const watch = setInterval(giveUpOverdue, 1_000);
  return {
    hold(message, giveUp, renewed) {
      held.set(message.id, { message, giveUp, renewed });
    },
    release: (message) => void held.delete(message.id),
    has: (message) => held.has(message.id),
    close() {
      clearInterval(renewal);
      clearInterval(watch);
    },
  };
}
