/** A run is cancelled from any node: by signal, or by what the database says when no signal comes. */
import { access } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { processesWith } from "../support/process-search.ts";
import { startTestService, type TestService } from "../support/test-service.ts";

let api: TestService;
let worker: TestService;
beforeAll(async () => {
  api = await startTestService({ ROLES: "api" });
  const DATABASE_URL = api.database.connectionString;
  worker = await startTestService({ ROLES: "worker", DATABASE_URL, JOBS_DIR: api.jobsDir });
}, 60_000);
afterAll(async () => {
  await worker?.[Symbol.asyncDispose]();
  await api?.[Symbol.asyncDispose]();
});

/** Runs until it is told to end, and its child too. */
async function begun(job: string): Promise<string> {
  const command = `sleep 900 & trap 'echo bye; exit' TERM; touch ${job}; wait`;
  await api.client.putJob(job, { command, retries: 3, on_error: { trigger_job: ["never"] } });
  const { id } = await api.client.trigger(job);
  await expect.poll(() => access(join(api.jobsDir, job)), { timeout: 20_000 }).toBeUndefined();
  return id;
}

async function expectCancelled(id: string): Promise<void> {
  expect(await api.client.run(id, "30s")).toMatchObject({
    state: "cancelled",
    status: -1,
    log: "bye\n",
    triggered_runs: [],
    attempts: [{ state: "cancelled", status: -1 }],
  });
  expect(processesWith(`CARILLON_RUN_ID=${id}`)).toEqual([]);
}

it("ends the command and all its processes, on the node that runs it", async () => {
  await api.client.putJob("never", { command: "true" });
  const id = await begun("told");
  expect((await api.client.call("POST", `/runs/${id}/cancel`)).status).toBe(202);
  await expectCancelled(id);
});

it("ends the command even when the signal is lost", async () => {
  const id = await begun("untold");
  await api.prisma.run.update({ where: { id }, data: { cancelRequestedAt: new Date() } });
  await expectCancelled(id);
});
