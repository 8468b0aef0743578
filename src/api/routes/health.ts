/** The calls without a token: liveness, readiness and version. */
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { z } from "zod";
import packageJson from "../../../package.json" with { type: "json" };
import type { Health } from "../../lifecycle.ts";
import type { Readiness } from "../readiness.ts";
import { STATS } from "../schemas/examples.ts";
import { schedulerSchema } from "../schemas/overview.ts";
import { openProblems } from "../schemas/problem.ts";
import { schedulerView } from "../views/overview.ts";

const Healthy = z.object({ status: z.literal("ok") }).meta({ id: "Health", example: { status: "ok" } });
const PartHealth = z.object({
  name: z.string(),
  state: z
    .enum(["ok", "failing", "late"])
    .describe(
      "`failing`: there was no success since the latest error. `late`: there was no success for too long, and the process is not ready",
    ),
  last_success_ms: z.int().describe("Milliseconds since the last success, or since the start"),
  last_error_ms: z
    .int()
    .nullable()
    .describe("Milliseconds since the last error; null: no error yet. The log contains the message"),
  errors: z.int().describe("Number of errors since the start"),
});
const Ready = z
  .object({
    status: z.enum(["ready", "not ready"]),
    not_ready: z
      .array(z.string())
      .describe("The parts that are not ready, with the reason; empty when the process is ready"),
    parts: z.array(PartHealth).describe("The long-running parts of this process"),
    scheduler: schedulerSchema,
  })
  .meta({
    id: "Readiness",
    example: {
      status: "ready",
      not_ready: [],
      parts: [{ name: "scheduler", state: "ok", last_success_ms: 412, last_error_ms: null, errors: 0 }],
      scheduler: STATS.scheduler,
    },
  });
const Version = z
  .object({ name: z.literal("carillon"), version: z.string() })
  .meta({ id: "Version", example: { name: "carillon", version: packageJson.version } });

const refusals = openProblems(429);
const unready = {
  description:
    "The process is not ready, and `not_ready` names the reasons; or a problem while the service stops",
  content: { "application/json": { schema: Ready }, ...refusals[503].content },
};

/** `/healthz`, `/readyz` and `/version`. */
export const healthRoutes =
  (readiness: () => Promise<Readiness>): FastifyPluginAsyncZod =>
  async (app) => {
    const config = { public: true };
    const tags = ["health"];
    app.get(
      "/healthz",
      {
        config: { ...config, unlimited: true },
        schema: {
          summary: "Tell whether the process is alive",
          tags,
          response: { 200: Healthy, ...openProblems() },
        },
      },
      async () => ({ status: "ok" as const }),
    );
    app.get(
      "/readyz",
      {
        config,
        schema: {
          summary: "Tell whether the process is ready to work: 200 or 503",
          tags,
          response: { ...refusals, 200: Ready, 503: unready },
        },
      },
      async (_request, reply) => {
        const { notReady, parts, scheduler } = await readiness();
        const answer = {
          not_ready: notReady,
          parts: parts.map(partView),
          scheduler: schedulerView(scheduler),
        };
        if (notReady.length === 0) return { status: "ready" as const, ...answer };
        return reply.code(503).send({ status: "not ready", ...answer });
      },
    );
    app.get(
      "/version",
      {
        config,
        schema: { summary: "Read the version of the service", tags, response: { 200: Version, ...refusals } },
      },
      async () => ({ name: "carillon" as const, version: packageJson.version }),
    );
  };

function partView(health: Health): z.input<typeof PartHealth> {
  const { name, isLate, lastError, sinceSuccessMs, sinceErrorMs, errors } = health;
  return {
    name,
    state: isLate ? "late" : lastError === undefined ? "ok" : "failing",
    last_success_ms: Math.round(sinceSuccessMs),
    last_error_ms: sinceErrorMs === undefined ? null : Math.round(sinceErrorMs),
    errors,
  };
}
