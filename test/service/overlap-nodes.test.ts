/** All three policies hold across two nodes that both trigger and work, also when one of them is killed. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "vitest";
import type { Run } from "../support/api-client.ts";
import { freshDatabase } from "../support/fresh-database.ts";
import { startProcess } from "../support/service-process.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

const POLICIES = ["queue", "skip", "replace"] as const;

/** Takes a lock that the kernel releases when the command dies, and reports when another run holds it. */
const EXCLUSIVE = `
  exec 9> "$CARILLON_JOB.lock"
  flock -n 9 || { echo "$CARILLON_RUN_ID" >> overlaps; exit 1; }
  echo "$CARILLON_JOB" >> started
  sleep 0.5`;

// The first waits for the heartbeat of the killed worker to lapse; the second runs meanwhile.
describe.concurrent("concurrency on several nodes", () => {
  it("never runs two runs of a job at once, and loses none", { timeout: 120_000 }, async ({ expect }) => {
    await using database = await freshDatabase();
    await using folder = await temporaryFolder();
    const environment = {
      DATABASE_URL: database.connectionString,
      DATA_DIR: join(folder.path, "data"),
      JOBS_DIR: folder.path,
      WORKER_CONCURRENCY: "8",
    };
    const read = (file: string) => readFile(join(folder.path, file), "utf8").catch(() => "");
    await using killed = await startProcess(environment);
    await using surviving = await startProcess(environment);
    const nodes = [killed, surviving];
    for (const policy of POLICIES) {
      await killed.client.putJob(policy, {
        command: EXCLUSIVE,
        concurrency: { limit: 1, policy },
        retry: { limit: 2, delay: "1ms" },
      });
    }
    const eight = Array.from({ length: 8 }, (_, n) => nodes[n % 2]?.client);
    const triggered = POLICIES.flatMap((policy) => eight.map((client) => client?.trigger(policy)));
    const accepted = (await Promise.all(triggered)).filter((run) => run !== undefined);
    expect(accepted).toHaveLength(24);
    await expect.poll(() => read("started"), { timeout: 20_000, interval: 20 }).toMatch(/queue/);
    await killed.end("SIGKILL");

    const ended = await Promise.all(accepted.map(({ id }) => surviving.client.run(id, "55s")));
    expect(await read("overlaps")).toBe("");
    const of = (name: string) => ended.filter((run) => run.name === name);
    expect(of("queue").map(({ state }) => state)).toEqual(of("queue").map(() => "succeeded"));
    const going = of("skip").filter(({ state }) => state !== "skipped");
    expect(going.length).toBeGreaterThan(0);
    expect(going.map(({ state }) => state)).toEqual(going.map(() => "succeeded"));
    for (const run of of("replace")) expect(last(of("replace"), run).state).toBe("succeeded");
    expect(of("replace").some(({ state }) => state === "cancelled")).toBe(true);
  });

  it("replaces a waiting run at once, and a running one when its command has ended", {
    timeout: 60_000,
  }, async ({ expect }) => {
    await using database = await freshDatabase();
    await using folder = await temporaryFolder();
    await using node = await startProcess({
      DATABASE_URL: database.connectionString,
      DATA_DIR: join(folder.path, "data"),
      JOBS_DIR: folder.path,
    });
    const { client } = node;
    await client.putJob("endless", {
      // After SIGTERM it runs on until the third run exists.
      command:
        "trap 'until [ -e go ]; do sleep 0.05; done; echo bye; exit 3' TERM; while :; do sleep 0.05; done",
      concurrency: { limit: 1, policy: "replace" },
      retries: 5,
      on_error: { notify_webhook: ["http://127.0.0.1:9/never"] },
    });
    const first = await client.trigger("endless");
    await expect.poll(async () => (await client.run(first.id)).state, { timeout: 10_000 }).toBe("running");
    const second = await client.trigger("endless");
    expect(second.state).toBe("queued");
    const third = await client.trigger("endless");
    await writeFile(join(folder.path, "go"), "");
    const replaced = await client.run(first.id, "20s");
    expect(replaced).toMatchObject({
      state: "cancelled",
      status: -1,
      log: expect.stringContaining("bye"),
      deliveries: [],
    });
    expect(replaced.reason).toBe(`replaced by run ${second.id}`);
    // It had not started when the third run replaced it.
    expect(await client.run(second.id)).toMatchObject({
      state: "cancelled",
      reason: `replaced by run ${third.id}`,
      attempts: [],
    });
    await expect.poll(async () => (await client.run(third.id)).state, { timeout: 10_000 }).toBe("running");
    await client.call("PUT", "/jobs/retrying", {
      command: "exit 1",
      retry: { limit: 1, delay: "1h" },
      concurrency: { limit: 1, policy: "replace" },
    });
    const waits = await client.trigger("retrying", {}, "1s");
    await expect.poll(async () => (await client.run(waits.id)).state, { timeout: 10_000 }).toBe("retrying");
    const next = await client.trigger("retrying");
    expect((await client.run(waits.id)).reason).toBe(`replaced by run ${next.id}`);
    await expect.poll(async () => (await client.run(next.id)).state, { timeout: 10_000 }).toBe("retrying");
  });
});

/** The run at the end of a chain of runs that replaced each other. */
function last(runs: readonly Run[], run: Run): Run {
  const [, by] = /^replaced by run (\S+)$/.exec(run.reason ?? "") ?? [];
  const next = runs.find(({ id }) => id === by);
  return next === undefined ? run : last(runs, next);
}
