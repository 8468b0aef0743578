/** The response at the root, which shows the next useful calls. */

import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { z } from "zod";
import packageJson from "../../../package.json" with { type: "json" };
import type { Database } from "../../postgres/client.ts";
import { readStats, type Stats } from "../../runs/stats.ts";
import { readJobs } from "../../schedules/read.ts";
import { problems } from "../schemas/problem.ts";
import { preferred } from "../views/accept.ts";

const { version } = packageJson;
/** How many jobs are searched for one that can be triggered. */
const SEARCHED_JOBS = 20;

const links = (base: string) => ({
  jobs: `${base}/api/v1/jobs`,
  schedules: `${base}/api/v1/schedules`,
  runs: `${base}/api/v1/runs`,
  deliveries: `${base}/api/v1/deliveries`,
  stats: `${base}/api/v1/stats`,
  openapi: `${base}/openapi.json`,
  docs: `${base}/docs`,
});

const EXAMPLE_BASE = "http://127.0.0.1:8081";
const rootSchema = z
  .object({
    name: z.literal("carillon"),
    version: z.string(),
    links: z.record(z.string(), z.url()).describe("The URLs of the main calls by name"),
  })
  .meta({ id: "Root", example: { name: "carillon", version, links: links(EXAMPLE_BASE) } });
const nextCallsSchema = z.string().meta({ example: nextCalls(EXAMPLE_BASE, { jobs: 0, activeRuns: 0 }) });

/** `GET /`. */
export const rootRoutes =
  (db: Database): FastifyPluginAsyncZod =>
  async (app) => {
    app.get(
      "/",
      {
        config: { scope: "read" },
        schema: {
          summary: "Show the next useful calls",
          tags: ["root"],
          response: {
            200: {
              description: "The next useful calls, as text or as links",
              content: {
                "text/plain": { schema: nextCallsSchema },
                "application/json": { schema: rootSchema },
              },
            },
            ...problems(),
          },
        },
      },
      async ({ protocol, host, headers, caller }, reply) => {
        const base = `${protocol}://${host}`;
        reply.header("vary", "accept");
        if (preferred({ headers }, ["text/plain", "application/json"]) === "application/json")
          return reply.send({ name: "carillon", version, links: links(base) });
        const jobs = await readJobs(db, caller, { limit: SEARCHED_JOBS });
        const job = jobs.find(({ definition }) => definition.enabled)?.definition.name;
        return reply
          .type("text/plain; charset=utf-8")
          .send(nextCalls(base, { ...stateOf(await readStats(db)), job }));
      },
    );
  };

/** The counts that decide which calls to show. */
interface State {
  jobs: number;
  activeRuns: number;
  /** The name of a job that can be triggered. */
  job?: string | undefined;
}

function stateOf({ jobs, active }: Stats): Omit<State, "job"> {
  return {
    jobs: jobs.enabled + jobs.paused + jobs.disabled,
    activeRuns: active.queued + active.running + active.retrying,
  };
}

function nextCalls(base: string, state: State): string {
  const jobs = count(state.jobs, "job");
  return [
    `Carillon ${version} on ${base}: ${jobs}, ${count(state.activeRuns, "active run")}.`,
    `In a shell, put the header of this call, Authorization: Bearer ..., into AUTH. Then:`,
    ...curls(`${base}/api/v1`, state).map(([title, rest]) => `${title}:\n  curl -sS -H "$AUTH" ${rest}`),
    `Every call: ${base}/docs in a browser (any name, the token as password), or ${base}/openapi.json\n`,
  ].join("\n\n");
}

type Curl = readonly [title: string, rest: string];

function curls(api: string, { jobs, job }: State): Curl[] {
  const history: Curl = ["Look at the history", `'${api}/runs'`];
  const trigger = (name: string): Curl => [
    "Run a job and wait for its end",
    `-X POST '${api}/jobs/${inQuotes(name)}/trigger?wait=30s'`,
  ];
  if (jobs === 0) {
    const document = `{"command": "echo Hello from Carillon"}`;
    const save = `--json '${document}' -X PUT '${api}/jobs/hello'`;
    return [["Save the first job", save], trigger("hello"), history];
  }
  return [["List the jobs", `'${api}/jobs'`], ...(job === undefined ? [] : [trigger(job)]), history];
}

function count(number: number, what: string): string {
  return number === 0 ? `no ${what}` : `${number} ${what}${number === 1 ? "" : "s"}`;
}

/** Encodes a name for a URL between single quotes. */
function inQuotes(name: string): string {
  return encodeURIComponent(name).replaceAll("'", "%27");
}
