/** Steps the clock of a node, or of the database: slots, queued runs and running commands must not notice. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { execute } from "../../test/support/postgres-server.ts";
import { addSteppingClock, stepClock } from "../../test/support/stepping-database.ts";
import {
  type Campaign,
  type Checks,
  createChecks,
  type Findings,
  startNode,
  until,
  type World,
} from "./campaign.ts";

const DAY_MS = 86_400_000;
/** How far a node's clock is shifted, in ms, one after another. */
const NODE_SHIFTS = [[-300_000], [2 * DAY_MS], [10 * DAY_MS], [60 * DAY_MS, 0]] as const;
/** Steps of the database's clock. */
export type DatabaseStep = "30 seconds" | "-1 hour";
const DATABASE_STEPS: readonly DatabaseStep[] = ["30 seconds", "-1 hour"];

/** The time in which a dead worker is noticed. */
const NOTICED_MS = 30_000;
/** The longest time without a slot of a job that is due each second. */
const LONGEST_GAP_MS = 5_000;
/** The longest time in which the service answers `/healthz`. */
const LONGEST_ANSWER_MS = 3_000;
/** A worker renews its claims several times in this time. */
const WATCHED_MS = 20_000;

const CLOCK = join(import.meta.dirname, "../../test/support/shifted-clock.ts");

export const nodeClock: Campaign = {
  title: "the clock of a node set back by 300 s, or ahead by 2, 10 or 60 days, or ahead and back",
  run: (world) => nodeClockOnce(world, NODE_SHIFTS[world.seed % NODE_SHIFTS.length] ?? []),
};

export const databaseClock: Campaign = {
  title: "the clock of the database stepped ahead by 30 s, or back by 1 h",
  run: (world) => databaseClockOnce(world, DATABASE_STEPS[world.seed % DATABASE_STEPS.length] ?? "-1 hour"),
};

/** Shifts the clock of the node that makes the slots and notices dead workers, and then kills a worker. */
export async function nodeClockOnce(world: World, shiftsMs: readonly number[]): Promise<Findings> {
  const checks = createChecks();
  const clock = { NODE_OPTIONS: `--import=${CLOCK}`, CLOCK_SHIFTS_MS: shiftsMs.join() };
  await using node = await startNode(world, "node", { ROLES: "api,scheduler", ...clock });
  await using worker = await startNode(world, "worker", { ROLES: "worker" });
  await node.client.putJob("long", { command: "exec sleep 600" });
  await node.client.putJob("tick", { command: "true", cron: "* * * * * *" });
  const { id } = await node.client.trigger("long");
  await until("the command runs", 20_000, async () => {
    return (await node.client.run(id)).state === "running" || undefined;
  });
  const slots = () => execute(world.connectionString, "SELECT FROM run WHERE scheduled_for IS NOT NULL");
  const moreSlots = async () => {
    const { length } = await slots();
    await until("two more slots", 20_000, async () => (await slots()).length >= length + 2 || undefined);
  };
  await moreSlots();

  const over = new AbortController();
  const answering = longestAnswer(node.url, over.signal);
  for (const _ of shiftsMs) {
    node.child.kill("SIGUSR2");
    await moreSlots();
  }
  await worker.end("SIGKILL");
  const killedAt = performance.now();
  await until("the dead worker is noticed", NOTICED_MS + 10_000, async () => {
    return (await node.client.run(id)).state === "failed" || undefined;
  }).catch((error: Error) => checks.that(false, error.message));
  const noticedMs = performance.now() - killedAt;
  over.abort();
  const answerMs = await answering;

  const gapMs = await longestGap(world);
  checks.that(noticedMs <= NOTICED_MS, `the dead worker was noticed after ${Math.round(noticedMs)} ms`);
  checks.that(answerMs < LONGEST_ANSWER_MS, `an answer took ${Math.round(answerMs)} ms`);
  checks.that(gapMs < LONGEST_GAP_MS, `no slot for ${Math.round(gapMs)} ms`);
  const figures = {
    "longest answer of /healthz (ms)": answerMs,
    "longest time between two slots (ms)": gapMs,
    "dead worker noticed (ms)": noticedMs,
  };
  return { broken: checks.broken, figures };
}

/** Asks for `/healthz` until `over`, and returns how long the slowest answer took, in ms. */
async function longestAnswer(url: string, over: AbortSignal): Promise<number> {
  let longest = 0;
  while (!over.aborted) {
    const askedAt = performance.now();
    await (await fetch(`${url}/healthz`)).text();
    longest = Math.max(longest, performance.now() - askedAt);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return longest;
}

/** Returns the longest time between the creation of two slots, and between the last one and now, in ms. */
async function longestGap({ connectionString }: World): Promise<number> {
  const [row] = await execute(
    connectionString,
    `SELECT (1000 * max(extract(epoch FROM until - at)))::float8 AS ms FROM (
       SELECT triggered_at AS at, lead(triggered_at, 1, now()) OVER (ORDER BY triggered_at) AS until
       FROM run WHERE scheduled_for IS NOT NULL) AS gap`,
  );
  return Number(row?.["ms"]);
}

/** Steps the database's clock while a command runs, runs wait, and one run waits for its retry. */
export async function databaseClockOnce(world: World, step: DatabaseStep): Promise<Findings> {
  const checks = createChecks();
  await addSteppingClock(world.connectionString);
  await using api = await startNode(world, "api", { ROLES: "api,scheduler" });
  await using worker = await startNode(world, "worker", { ROLES: "worker", WORKER_CONCURRENCY: "1" });
  const { client } = api;
  await client.putJob("flaky", {
    command: "[ -e failed ] || { touch failed; exit 1; }",
    retry: { limit: 1, delay: "5s" },
  });
  await client.putJob("long", { command: "until [ -e over ]; do sleep 0.1; done" });
  await client.putJob("quick", { command: "true" });
  const flaky = await client.trigger("flaky");
  await until("the run waits for its retry", 20_000, async () => {
    return (await client.run(flaky.id)).state === "retrying" || undefined;
  });
  const long = await client.trigger("long");
  await until("the command runs", 20_000, async () => {
    return (await client.run(long.id)).state === "running" || undefined;
  });
  const waiting = await Promise.all(Array.from({ length: 5 }, () => client.trigger("quick")));

  await stepClock(world.connectionString, step);
  const steppedAt = performance.now();
  await new Promise((resolve) => setTimeout(resolve, WATCHED_MS));
  checks.that((await client.run(long.id)).state === "running", "the step ended the running command");
  await writeFile(join(world.folder, "over"), "");
  waiting.push(await client.trigger("quick"));
  const overAt = performance.now();
  const { attempts } = await ended(checks, client, long.id);
  checks.that(attempts.length === 1, `the long command had ${attempts.length} attempts`);
  for (const { id } of [...waiting, flaky]) await ended(checks, client, id);
  const waitedMs = performance.now() - overAt;

  await client.putJob("lost", { command: "exec sleep 600" });
  const lost = await client.trigger("lost");
  await until("the last command runs", 20_000, async () => {
    return (await client.run(lost.id)).state === "running" || undefined;
  });
  await worker.end("SIGKILL");
  const killedAt = performance.now();
  await until("the dead worker is noticed", NOTICED_MS, async () => {
    return (await client.run(lost.id)).state === "failed" || undefined;
  }).catch((error: Error) => checks.that(false, error.message));
  const figures = {
    "watched after the step (ms)": overAt - steppedAt,
    "waiting runs done after the long one (ms)": waitedMs,
    "dead worker noticed (ms)": performance.now() - killedAt,
  };
  return { broken: checks.broken, figures };
}

/** Waits for the success of a run, for at most 30 s. */
async function ended(checks: Checks, client: Awaited<ReturnType<typeof startNode>>["client"], id: string) {
  const run = await client.run(id, "30s");
  checks.that(run.state === "succeeded", `a run of ${run.name} is ${run.state} 30 s after the step`);
  return run;
}
