/** A worker learns which of its runs must be cancelled: by signal, or by polling when a signal is lost. */
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { Infra } from "../../src/infra.ts";
import { RENEW_EVERY_MS } from "../../src/queue/messages.ts";
import type { Signal } from "../../src/queue/signals.ts";
import { type Cancellations, createCancellations } from "../../src/worker/cancellations.ts";

let tell: (signal: Signal) => void;
/** The runs for which the database has a cancel request. */
let requested: string[];
let asked: string[][];
let failure: Error | undefined;
const errors: Error[] = [];
let cancellations: Cancellations;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
  [requested, asked, failure] = [[], [], undefined];
  errors.length = 0;
  const findMany = async ({ where }: { where: { id: { in: string[] } } }) => {
    asked.push(where.id.in);
    if (failure !== undefined) throw failure;
    return where.id.in.filter((id) => requested.includes(id)).map((id) => ({ id }));
  };
  const subscribe = (listener: typeof tell) => {
    tell = listener;
    return () => {
      tell = () => undefined;
    };
  };
  // Only these two are used.
  const infra = { db: { prisma: { run: { findMany } } }, signals: { subscribe } } as unknown as Infra;
  cancellations = createCancellations(infra, (error) => errors.push(error));
});
afterEach(() => {
  cancellations.close();
  vi.useRealTimers();
});

function watch(run: string) {
  const cancellation = cancellations.watch(run);
  const kill = vi.fn();
  void cancellation.requested.then(kill);
  return { kill, cancellation };
}

it("passes a signal to every attempt of its run, and to no other", async () => {
  const [one, again, other] = [watch("one"), watch("one"), watch("other")];
  tell({ type: "run_changed", run: "other" });
  tell({ type: "cancel", run: "one" });
  tell({ type: "cancel", run: "one" });
  await vi.advanceTimersByTimeAsync(0);
  expect([one.kill, again.kill, other.kill].map(({ mock }) => mock.calls.length)).toEqual([1, 1, 0]);
  expect(asked).toEqual([]);
});

it("reaches a command that starts after the signal arrived", async () => {
  const cancellation = cancellations.watch("one");
  tell({ type: "cancel", run: "one" });
  const kill = vi.fn();
  await cancellation.requested.then(kill);
  expect(kill).toHaveBeenCalledOnce();
});

it.each<[string, () => Promise<unknown>]>([
  ["within one renewal", () => vi.advanceTimersByTimeAsync(RENEW_EVERY_MS)],
  [
    "at once when signals may have been missed",
    async () => {
      tell({ type: "missed" });
      await vi.advanceTimersByTimeAsync(0);
    },
  ],
])("learns of a request whose signal was lost %s", async (_when, pass) => {
  const [one, other] = [watch("one"), watch("other")];
  requested = ["one", "elsewhere"];
  await pass();
  expect([one.kill, other.kill].map(({ mock }) => mock.calls.length)).toEqual([1, 0]);
  expect(asked).toEqual([["one", "other"]]);
});

it("continues after the database was away", async () => {
  const one = watch("one");
  requested = ["one"];
  failure = new Error("no database");
  await vi.advanceTimersByTimeAsync(RENEW_EVERY_MS);
  expect(errors).toEqual([failure]);
  failure = undefined;
  await vi.advanceTimersByTimeAsync(RENEW_EVERY_MS);
  expect(one.kill).toHaveBeenCalledOnce();
});

it("does not poll for ended runs, nor after it is closed", async () => {
  const { kill, cancellation } = watch("one");
  const other = watch("other");
  cancellation[Symbol.dispose]();
  tell({ type: "cancel", run: "one" });
  await vi.advanceTimersByTimeAsync(RENEW_EVERY_MS);
  expect(asked).toEqual([["other"]]);
  cancellations.close();
  tell({ type: "cancel", run: "other" });
  await vi.advanceTimersByTimeAsync(2 * RENEW_EVERY_MS);
  expect(asked).toHaveLength(1);
  expect(kill).not.toHaveBeenCalled();
  expect(other.kill).not.toHaveBeenCalled();
});
