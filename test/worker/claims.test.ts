/** Claims are renewed together, and given up before another worker may take over (promise 4). */
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import {
  claimTimeLeftMs,
  HEARTBEAT_SECONDS,
  RENEW_DEADLINE_MS,
  RENEW_EVERY_MS,
} from "../../src/queue/messages.ts";
import type { Message, Queue } from "../../src/queue/queue.ts";
import { type Claims, createClaims } from "../../src/worker/claims.ts";

let renew: Queue["renew"];
let claims: Claims;
const errors: Error[] = [];
let successes = 0;
const renewed = vi.fn<(leftMs: number) => void>();
beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval", "performance"] });
  // Claims use only the renewal of the queue.
  const queue = {
    renew: (queueName: string, messages: Message<unknown>[]) => renew(queueName, messages),
  } as Queue;
  successes = 0;
  claims = createClaims(queue, "attempt.default", {
    succeeded: () => void successes++,
    failed: (error) => void errors.push(error as Error),
  });
});
afterEach(() => {
  claims.close();
  vi.useRealTimers();
  errors.length = 0;
  renewed.mockReset();
});

const message = (id: string): Message<unknown> => ({
  id,
  queueName: "attempt.default",
  retryCount: 0,
  data: {},
  claimedAt: performance.now(),
});

it("keeps what the queue renews and gives up the rest, once", async () => {
  renew = async (_queue, messages) => new Set(messages.map(({ id }) => id).filter((id) => id !== "taken"));
  const [kept, taken] = [vi.fn(), vi.fn()];
  claims.hold(message("kept"), kept, renewed);
  claims.hold(message("taken"), taken, renewed);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(kept).not.toHaveBeenCalled();
  expect(taken).toHaveBeenCalledOnce();
  expect([claims.has(message("kept")), claims.has(message("taken"))]).toEqual([true, false]);
});

it.each<[string, Queue["renew"]]>([
  ["fails", () => Promise.reject(new Error("no database"))],
  ["does not answer", () => new Promise(() => undefined)],
])("gives up in time when the database %s", async (_what, broken) => {
  renew = broken;
  const giveUp = vi.fn();
  claims.hold(message("one"), giveUp, renewed);
  await vi.advanceTimersByTimeAsync(RENEW_DEADLINE_MS - 1_000);
  expect(giveUp).not.toHaveBeenCalled();
  await vi.advanceTimersByTimeAsync(2_000);
  expect(giveUp).toHaveBeenCalledOnce();
  expect(RENEW_DEADLINE_MS + 1_000).toBeLessThan(HEARTBEAT_SECONDS * 1_000);
});

it("survives a failed renewal if the next one comes in time", async () => {
  let calls = 0;
  renew = async (_queue, messages) => {
    if (calls++ % 2 === 0) throw new Error("for a moment");
    return new Set(messages.map(({ id }) => id));
  };
  const giveUp = vi.fn();
  claims.hold(message("one"), giveUp, renewed);
  await vi.advanceTimersByTimeAsync(10 * RENEW_EVERY_MS);
  expect(giveUp).not.toHaveBeenCalled();
  expect(errors.length).toBeGreaterThan(2);
  expect(successes).toBeGreaterThan(2);
});

it("reports how long a claim is valid, counted from the start of the renewing call", async () => {
  const answer = Promise.withResolvers<Set<string>>();
  renew = () => answer.promise;
  const one = message("one");
  expect(claimTimeLeftMs(one.claimedAt)).toBe(RENEW_DEADLINE_MS);
  claims.hold(one, vi.fn(), renewed);
  vi.advanceTimersByTime(RENEW_EVERY_MS);
  vi.advanceTimersByTime(900);
  answer.resolve(new Set(["one"]));
  await vi.advanceTimersByTimeAsync(0);
  expect(renewed.mock.calls).toEqual([[RENEW_DEADLINE_MS - 900]]);
  expect(claimTimeLeftMs(one.claimedAt)).toBe(RENEW_DEADLINE_MS - 900);
});
