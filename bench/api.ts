/** Measures GET of one job, beside a bare Fastify whose only route returns the same job through the same schema. */
import { readFile } from "node:fs/promises";
import type { Bench, Benchmark, Side } from "./benchmark.ts";
import { percentiles } from "./machine.ts";
import { openHost } from "./measuring-host.ts";
import { openDatabase, openOneServer } from "./postgres.ts";
import { getAgain } from "./raw-client.ts";
import { openService } from "./service.ts";

export const benchmark: Benchmark = {
  summary: "GET of a job, beside a bare Fastify + zod route",
  seconds: 3,
  rounds: 7,
  options: { connections: { value: "1,16", describe: "connections, each with one call at a time" } },
  run,
};

const JOB = "coffee";
const DOCUMENT = {
  command: ["echo", "coffee"],
  cron: "0 0 1 1 *",
  retries: 3,
  labels: { team: "coffee" },
  on_error: { notify_webhook: ["https://example.org/hook"] },
};

async function run(bench: Bench): Promise<void> {
  const server = await openOneServer(bench);
  const service = await openService(bench, await openDatabase(bench, server), { ROLES: "api" });
  await service.api.json("PUT", `/jobs/${JOB}`, DOCUMENT);
  const job = await service.api.json<object>("GET", `/jobs/${JOB}`);
  const host = bench.stack.use(await openHost<object, string>("api-host.ts", [JSON.stringify(job)]));
  const bare = await host.ask({});
  const token = (await readFile(service.tokenFile, "utf8")).trim();
  const side = (name: string, url: string, connections: number): Side => ({
    name: `${name}, ${connections} connections`,
    async measure(seconds) {
      const target = new URL(`${url}/api/v1/jobs/${JOB}`);
      const headers = { authorization: `Bearer ${token}` };
      const responses = await getAgain(target, headers, { connections, seconds });
      return {
        "requests/s": responses.ms.length / responses.seconds,
        ...percentiles("response", responses.ms),
      };
    },
  });
  const sides = bench
    .numbers("connections")
    .flatMap((connections) => [
      side(`Carillon, ${server.name}`, service.process.url, connections),
      side("bare Fastify + zod", bare, connections),
    ]);
  bench.report("GET /api/v1/jobs/{name}", await bench.takeTurns(sides));
  bench.note("The bare route checks no token, counts no calls and reads no database.");
}
