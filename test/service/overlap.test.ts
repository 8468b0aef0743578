/** Concurrency limits hold for simultaneous triggers, also across a drain and a kill -9. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, type ExpectStatic, it } from "vitest";
import type { Client, Run } from "../support/api-client.ts";
import { readWitness, witnessed } from "../support/command-witness.ts";
import { freshDatabase } from "../support/fresh-database.ts";
import { type ServiceProcess, startProcess } from "../support/service-process.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

const EIGHT = ["1", "2", "3", "4", "5", "6", "7", "8"];
const LIMITS = [1, 3];
const RETRIED = { retries: 2, retry: { delay: "1ms" } };

/** Triggers a job eight times at once. */
function eightTimes(client: Client, job: string): Promise<Run[]> {
  return Promise.all(EIGHT.map((N) => client.trigger(job, { env: { N } })));
}

function ended(client: Client, runs: readonly Run[]): Promise<Run[]> {
  return Promise.all(runs.map(({ id }) => client.run(id, "55s")));
}

/** A service that can be restarted on one database, with one folder for its commands. */
async function restartable(more: Record<string, string>) {
  const stack = new AsyncDisposableStack();
  const database = stack.use(await freshDatabase());
  const { path: folder } = stack.use(await temporaryFolder());
  const environment = {
    DATABASE_URL: database.connectionString,
    DATA_DIR: join(folder, "data"),
    JOBS_DIR: folder,
    WORKER_CONCURRENCY: "16",
    ...more,
  };
  return {
    folder,
    start: async (): Promise<ServiceProcess> => stack.use(await startProcess(environment)),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

/** Waits until more commands than the limit have started: a place was released, and the rest still waits. */
async function inTheMiddle(expect: ExpectStatic, folder: string): Promise<void> {
  for (const limit of LIMITS) {
    const started = async () => (await readWitness(folder, `w${limit}`)).started.length;
    await expect.poll(started, { timeout: 20_000, interval: 20 }).toBeGreaterThan(limit);
  }
}

// All wait at the same time for the heartbeat of a killed worker to lapse.
describe.concurrent("a limit", { timeout: 120_000 }, () => {
  it.for([
    { how: "a drain", signal: "SIGTERM" },
    { how: "kill -9", signal: "SIGKILL" },
  ] as const)("queues eight runs across $how, and runs each", async ({ signal }, { expect }) => {
    await using service = await restartable({ SHUTDOWN_GRACE: "20s" });
    const { folder } = service;
    const before = await service.start();
    for (const limit of LIMITS) {
      const command = witnessed(`w${limit}`, limit, "sleep 0.5");
      await before.client.putJob(`queue${limit}`, {
        command,
        concurrency: { limit, policy: "queue" },
        ...RETRIED,
      });
    }
    const accepted = await Promise.all(LIMITS.map((limit) => eightTimes(before.client, `queue${limit}`)));
    await inTheMiddle(expect, folder);
    await before.end(signal);

    const after = await service.start();
    const runs = await ended(after.client, accepted.flat());
    expect(runs.map(({ state }) => state)).toEqual(runs.map(() => "succeeded"));
    for (const limit of LIMITS) {
      const { places, over, started, ended: done } = await readWitness(folder, `w${limit}`);
      expect({ places, over }).toEqual({ places: limit, over: [] });
      expect([...new Set(started)].toSorted()).toEqual(EIGHT);
      // A drain lets running commands finish; after kill -9 they run again.
      expect([...new Set(done)].toSorted()).toEqual(EIGHT);
      if (signal === "SIGTERM") expect(started).toHaveLength(EIGHT.length);
      else expect(started.length).toBeGreaterThan(EIGHT.length);
    }
  });

  it("skips runs above it, even after kill -9 while the earlier runs still count", async ({ expect }) => {
    await using service = await restartable({});
    const { folder } = service;
    const before = await service.start();
    const work = "until [ -e go ]; do sleep 0.05; done";
    for (const limit of LIMITS) {
      const command = witnessed(`w${limit}`, limit, work);
      await before.client.putJob(`skip${limit}`, {
        command,
        concurrency: { limit, policy: "skip" },
        ...RETRIED,
      });
    }
    const held: Run[] = [];
    for (const limit of LIMITS) {
      const runs = await eightTimes(before.client, `skip${limit}`);
      const [skipped, going] = [runs.filter(isSkipped), runs.filter((run) => !isSkipped(run))];
      expect(skipped).toHaveLength(EIGHT.length - limit);
      expect(skipped[0]).toMatchObject({
        status: null,
        reason: expect.stringContaining(`its limit of ${limit} active`),
      });
      held.push(...going);
      const started = async () => (await readWitness(folder, `w${limit}`)).started.length;
      await expect.poll(started, { timeout: 20_000 }).toBe(limit);
    }
    await before.end("SIGKILL");

    const after = await service.start();
    for (const limit of LIMITS) {
      const late = await eightTimes(after.client, `skip${limit}`);
      expect(late.filter(isSkipped)).toHaveLength(EIGHT.length);
    }
    // The commands died with the service, and start again when their attempts count as lost.
    await writeFile(join(folder, "go"), "");
    const runs = await ended(after.client, held);
    expect(runs.map(({ state, retry_attempt }) => ({ state, retry_attempt }))).toEqual(
      runs.map(() => ({ state: "succeeded", retry_attempt: 1 })),
    );
    for (const limit of LIMITS) {
      expect(await readWitness(folder, `w${limit}`)).toMatchObject({ places: limit, over: [] });
    }
  });
});

function isSkipped(run: Run): boolean {
  return run.state === "skipped";
}
