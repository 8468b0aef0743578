/** The claims that a worker holds: renewed together, and given up before another worker may take over. */

import { leftOf, RENEW_EVERY_MS } from "../queue/messages.ts";
import type { Message, Queue } from "../queue/queue.ts";

interface Claim {
  message: Message<unknown>;
  giveUp: () => void;
  renewed: (leftMs: number) => void;
}

export interface Claims {
  /**
   * Keeps renewing a claim, and notes that in its `claimedAt`; `giveUp` is called once when it is lost or could not be renewed in time, `renewed`
   * whenever it was, with how long it is good for (as in `leftOf`).
   */
  hold(message: Message<unknown>, giveUp: () => void, renewed: (leftMs: number) => void): void;
  release(message: Message<unknown>): void;
  /** Whether the claim may still be ours. */
  has(message: Message<unknown>): boolean;
  close(): void;
}

export function createClaims(queue: Queue, queueName: string, onError: (error: Error) => void): Claims {
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
        claim.renewed(leftOf(claim.message.claimedAt));
      } else if (held.delete(claim.message.id)) claim.giveUp();
    }
  };
  const giveUpOverdue = () => {
    for (const [id, claim] of held) {
      if (leftOf(claim.message.claimedAt) > 0) continue;
      held.delete(id);
      claim.giveUp();
    }
  };
  const renewal = setInterval(() => void renew().catch(onError), RENEW_EVERY_MS);
  // Apart from the renewal, which may itself hang on a database that does not answer.
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
