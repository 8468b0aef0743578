/** Kills a service (SIGKILL) that has one long command and many accepted triggers, and checks what the next start does. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { startSink } from "../../test/support/http-sink.ts";
import { processesWith } from "../../test/support/process-search.ts";
import {
  byCallers,
  type Campaign,
  createChecks,
  type Findings,
  randomFrom,
  startNode,
  until,
  type World,
} from "./campaign.ts";

/** The time in which a dead worker is noticed. */
const NOTICED_MS = 30_000;
const ORPHAN_MS = 5_000;
const LATEST_KILL_MS = 500;

/** Makes 400 triggers. Every other round uses the embedded Postgres, which loses its parent process too. */
export const crash: Campaign = {
  title: "kill -9 of the service with 1 long run and 400 accepted triggers",
  run: (world) =>
    crashOnce(world, {
      triggers: 400,
      embedded: world.seed % 2 === 1,
    }),
};

/** Runs one crash. The seed decides how long after the last accepted trigger it happens. */
export async function crashOnce(
  world: World,
  options: { triggers: number; embedded: boolean },
): Promise<Findings> {
  const checks = createChecks();
  await using sink = await startSink();
  const environment = {
    WORKER_CONCURRENCY: "4",
    ...(options.embedded && { DATABASE_URL: "" }),
  };
  await using before = await startNode(world, "node", environment);
  await before.client.putJob("long", {
    command: "exec sleep 600",
    on_error: { notify_webhook: [sink.url("/long")] },
  });
  await before.client.putJob("quick", {
    command: 'echo "$N" >> witness',
    retry: { limit: 1, delay: "1ms" },
  });
  const { id: long } = await before.client.trigger("long");
  const orphans = () => processesWith(`CARILLON_RUN_ID=${long}`);
  await until("the long command runs", 20_000, async () => orphans()[0]);
  const numbers = Array.from({ length: options.triggers }, (_, n) => `${n}`);
  const accepted = await byCallers(numbers, (N) => before.client.trigger("quick", { env: { N } }));
  await new Promise((resolve) => setTimeout(resolve, randomFrom(world.seed)() * LATEST_KILL_MS));
  await before.end("SIGKILL");
  const killedAt = performance.now();
  await until("the orphan is gone", ORPHAN_MS, async () => orphans().length === 0 || undefined).catch(
    (error: Error) => checks.that(false, `the orphan lives on: ${error.message}`),
  );
  const orphanMs = performance.now() - killedAt;

  const restartedAt = Date.now();
  await using after = await startNode(world, "node", environment);
  await until("all runs end", 120_000, async () => {
    const { body } = await after.client.call<{ runs: Record<string, number> }>("GET", "/stats");
    const { queued = 0, running = 0, retrying = 0 } = body.runs;
    return queued + running + retrying === 0 || undefined;
  });
  for (const { id } of accepted) {
    const { state } = await after.client.run(id);
    checks.that(state === "succeeded", `an accepted trigger is ${state}`);
  }
  const lines = (await readFile(join(world.folder, "witness"), "utf8")).trim().split("\n");
  checks.that(new Set(lines).size === options.triggers, `${new Set(lines).size} of the triggers ran`);

  const lost = await after.client.run(long);
  const [attempt] = lost.attempts;
  const lostMs = Date.parse(attempt?.finished_at ?? "") - restartedAt;
  checks.that(lost.state === "failed" && attempt?.state === "lost", `the long run is ${lost.state}`);
  checks.that(lostMs <= NOTICED_MS, `it was lost ${lostMs} ms after the restart`);
  await sink.waitFor(1, 30_000);
  const delivered = await until("on_error is delivered", 10_000, async () => {
    const { deliveries } = await after.client.run(long);
    return deliveries.every(({ state }) => state === "delivered") ? deliveries : undefined;
  });
  checks.that(delivered.length === 1, `there are ${delivered.length} deliveries of on_error`);
  await after.end("SIGTERM");
  checks.that(sink.received.length === 1, `on_error arrived ${sink.received.length} times`);
  return {
    broken: checks.broken,
    figures: {
      "orphan gone after the kill (ms)": orphanMs,
      "long run lost after the restart (ms)": lostMs,
      "commands run twice": lines.length - new Set(lines).size,
    },
  };
}
