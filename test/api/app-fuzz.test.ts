/** Whatever is sent to an operation, it answers, and as the OpenAPI document says; FUZZ_RUNS and FUZZ_SEED steer it. */
import { Agent } from "node:http";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type FuzzRequest, requestOf, send } from "../support/fuzz-requests.ts";
import { saveDelivery, saveJob, saveRun } from "../support/old-runs.ts";
import { answerFault, operations } from "../support/openapi-document.ts";
import { startTestService, type TestService } from "../support/test-service.ts";

const { FUZZ_RUNS, FUZZ_SEED } = process.env;
const numRuns = Number(FUZZ_RUNS ?? 100);
const seed = Number(FUZZ_SEED ?? Date.now() % 2 ** 31);
const CALL_TIMEOUT_MS = 10_000;
const SLOW_MS = 1_000;
const SHOWN = 500;

interface Timed {
  ms: number;
  request: FuzzRequest;
}

let service: TestService;
let ids: Record<string, string>;
const agent = new Agent({ keepAlive: true });
const calls: Timed[] = [];
const answered = new Map<string, number>();

beforeAll(async () => {
  // Without a worker no command of a fuzzed job ever runs.
  service = await startTestService({ ROLES: "api" });
  ids = await prepare(service);
}, 60_000);
afterAll(async () => {
  agent.destroy();
  await service?.[Symbol.asyncDispose]();
  const worst = calls.toSorted((a, b) => b.ms - a.ms)[0];
  const statuses = [...answered].toSorted().map(([status, count]) => `${count} × ${status}`);
  console.log(
    `FUZZ_SEED=${seed}; ${statuses.join(", ")}; the slowest took ${worst?.ms} ms: ${shown(worst?.request)}`,
  );
});

/** A job, a run and a delivery, so that not everything is looked for in vain. */
async function prepare({ client, prisma }: TestService): Promise<Record<string, string>> {
  await client.putJob("coffee", { command: "true" });
  // So that none of the calls can delete it.
  await client.putJob("keeper", { command: "true", on_success: { trigger_job: ["coffee"] } });
  const run = await saveRun(prisma, await saveJob(prisma, {}), { endedDaysAgo: 0 });
  return { $run: run.id, $delivery: await saveDelivery(prisma, run, "delivered") };
}

const shown = (request: FuzzRequest | undefined) => JSON.stringify(request).slice(0, SHOWN);

async function ask(request: FuzzRequest) {
  const url = request.url.replaceAll(/\$(?:run|delivery)/g, (name) => ids[name] ?? name);
  const headers = { ...request.headers, authorization: `Bearer ${service.token}` };
  const start = performance.now();
  const answer = await send(service.url, { ...request, url, headers }, { agent, timeoutMs: CALL_TIMEOUT_MS });
  const ms = Math.round(performance.now() - start);
  calls.push({ ms, request });
  answered.set(String(answer.status), (answered.get(String(answer.status)) ?? 0) + 1);
  return answer;
}

describe("whatever is sent", () => {
  it.concurrent.each(operations)(
    "$id answers as described",
    async (operation) => {
      const property = fc.asyncProperty(requestOf(operation), async (request) => {
        const answer = await ask(request);
        if (answer.status >= 500) throw new Error(`${answer.status}: ${answer.text}`);
        const fault = answerFault(operation, answer);
        if (fault !== undefined) throw new Error(fault.slice(0, SHOWN));
      });
      await fc.assert(property, { numRuns, seed });
      expect((await fetch(`${service.url}/healthz`)).status).toBe(200);
    },
    numRuns * 2_000,
  );
});

// Only where it was asked for: a suite must not fail because its machine is busy. For the same reason a slow
// call has another chance, by itself.
it.runIf(FUZZ_RUNS)(
  "none takes longer than a second (by `npm run fuzz` only: a busy machine must not fail the suite)",
  async () => {
    const slow = calls.filter(({ ms }) => ms > SLOW_MS);
    const before = calls.length;
    for (const { ms, request } of slow) {
      console.log(`took ${ms} ms: ${shown(request)}`);
      await ask(request);
    }
    const again = calls.slice(before).filter(({ ms }) => ms > SLOW_MS);
    expect(again.map(({ ms, request }) => `${ms} ms: ${shown(request)}`)).toEqual([]);
  },
  600_000,
);
