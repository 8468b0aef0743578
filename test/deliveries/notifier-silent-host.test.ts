/** The backlog of a host that is down delays nobody, uses up no tries, and flows as soon as the host answers. */
import { expect, it } from "vitest";
import { createAddressGuard } from "../../src/deliveries/address-guard.ts";
import { startNotifier } from "../../src/deliveries/notifier.ts";
import { createSender } from "../../src/deliveries/post-webhook.ts";
import { DELIVERY_DELAYS_MS } from "../../src/deliveries/rules/retry-schedule.ts";
import type { Queue } from "../../src/queue/queue.ts";
import { countPostponed, insertDueDeliveries, urlsOf } from "../support/due-deliveries.ts";
import { answer, hang, startSink } from "../support/http-sink.ts";
import { type TestInfra, testInfra } from "../support/test-infra.ts";
import { testMonitor } from "../support/test-monitor.ts";

const BACKLOG = 300;
const PLACES = 8;
/** What is in progress when a circuit opens, and what follows while others end. */
const MOST_TRIED = 2 * PLACES;
const PATIENCE = { timeout: 20_000 };

/** A notifier whose tries end after `timeoutMs`, and how often it postponed and put back. */
function startTestNotifier(infra: TestInfra, timeoutMs: number) {
  const calls = { postpone: 0, putBack: 0 };
  const queue: Queue = {
    ...infra.queue,
    postpone: (...call) => {
      calls.postpone++;
      return infra.queue.postpone(...call);
    },
    putBack: (tx, messages) => {
      calls.putBack += messages.length;
      return infra.queue.putBack(tx, messages);
    },
  };
  const notifier = startNotifier(
    { ...infra, queue },
    {
      send: createSender({
        guard: createAddressGuard(["127.0.0.0/8"]),
        timeoutMs,
        userAgent: "Carillon/test",
      }),
      ...{ secretKeys: infra.secretKeys, random: infra.random, delaysMs: DELIVERY_DELAYS_MS },
      monitor: testMonitor(),
    },
  );
  return { calls, [Symbol.asyncDispose]: () => notifier.stop(AbortSignal.timeout(5_000)) };
}

/** How many deliveries of a receiver are in this state, and the tries that they have used. */
async function tally({ db }: TestInfra, receiver: { url(path: string): string }) {
  const rows = await db.prisma.delivery.findMany({ where: { url: { startsWith: receiver.url("/") } } });
  const count = (state: string) => rows.filter((row) => row.state === state).length;
  return {
    ...{ pending: count("pending"), delivered: count("delivered"), failed: count("failed") },
    untried: rows.filter(({ tries }) => tries === 0),
    tries: rows.reduce((sum, { tries }) => sum + tries, 0),
  };
}

it("delivers to other hosts while the backlog of a silent host is older and waits", async () => {
  await using infra = await testInfra();
  await using silent = await startSink(hang);
  await using other = await startSink();
  await insertDueDeliveries(infra, urlsOf(silent, BACKLOG));
  await insertDueDeliveries(infra, urlsOf(other, 40));
  // No try to the silent host ends during this test.
  await using notifier = startTestNotifier(infra, 60_000);
  await other.waitFor(40);
  await expect.poll(async () => (await tally(infra, other)).delivered, PATIENCE).toBe(40);
  expect(silent.received.length).toBeLessThanOrEqual(PLACES);
  expect(await tally(infra, silent)).toMatchObject({ pending: BACKLOG, tries: 0 });
  // What is too much of the first claims is put back once, and the rest is left in the queue.
  expect(notifier.calls.putBack).toBeLessThanOrEqual(128 + 40);
}, 30_000);

it("postpones the backlog in bulk without a try, and delivers all of it once the host answers", async () => {
  await using infra = await testInfra();
  await using silent = await startSink(hang);
  const at = new Date(Date.now() - 1_000);
  const ids = await insertDueDeliveries(infra, urlsOf(silent, BACKLOG), at);
  await using notifier = startTestNotifier(infra, 300);
  await expect.poll(() => countPostponed(infra), PATIENCE).toBeGreaterThanOrEqual(BACKLOG - MOST_TRIED - 128);
  await expect.poll(() => silent.received.length, PATIENCE).toBeGreaterThan(PLACES);
  const waiting = await tally(infra, silent);
  expect(waiting).toMatchObject({ pending: BACKLOG, failed: 0 });
  expect(waiting.tries).toBeLessThanOrEqual(MOST_TRIED);
  expect(waiting.untried.length).toBeGreaterThanOrEqual(BACKLOG - MOST_TRIED);
  for (const { nextTryAt } of waiting.untried) expect(nextTryAt).toEqual(at);
  // One call for each failure that opened the circuit or kept it open, however many deliveries wait.
  expect(notifier.calls.postpone).toBeLessThanOrEqual(MOST_TRIED);
  expect(notifier.calls.putBack).toBeLessThanOrEqual(BACKLOG);

  const failed = BACKLOG - waiting.untried.length;
  silent.handler = answer(200);
  await expect
    .poll(async () => (await tally(infra, silent)).delivered, PATIENCE)
    .toBeGreaterThanOrEqual(BACKLOG - failed - MOST_TRIED);
  // The few that were tried come on their own schedule, 5 s after their first try.
  await expect.poll(async () => (await tally(infra, silent)).delivered, PATIENCE).toBe(BACKLOG);
  const reached = new Set(silent.received.map(({ headers }) => headers["webhook-id"]));
  expect(reached).toEqual(new Set(ids));
  const { tries } = await tally(infra, silent);
  expect(tries).toBeLessThanOrEqual(BACKLOG + 2 * MOST_TRIED);
  expect(await countPostponed(infra)).toBe(0);
}, 60_000);

it("tries one delivery at a time while the host is down", async () => {
  await using infra = await testInfra();
  let [open, most] = [0, 0];
  await using silent = await startSink((_request, response) => {
    most = Math.max(most, ++open);
    response.once("close", () => open--);
  });
  await insertDueDeliveries(infra, urlsOf(silent, BACKLOG));
  await using _notifier = startTestNotifier(infra, 200);
  await expect.poll(() => countPostponed(infra), PATIENCE).toBeGreaterThan(0);
  await expect.poll(() => open, PATIENCE).toBe(0);
  const before = silent.received.length;
  most = 0;
  await silent.waitFor(before + 2);
  expect(most).toBe(1);
}, 30_000);

it("keeps a host that answers with errors of its own open to all", async () => {
  await using infra = await testInfra();
  await using broken = await startSink(answer(500));
  await insertDueDeliveries(infra, urlsOf(broken, 50));
  await using notifier = startTestNotifier(infra, 5_000);
  await broken.waitFor(50);
  expect(notifier.calls.postpone).toBe(0);
}, 30_000);
