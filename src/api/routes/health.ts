/** The calls without a token: liveness, readiness and version. */
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import packageJson from "../../../package.json" with { type: "json" };
import type { Readiness } from "../readiness.ts";
import { healthSchema, READY_ANSWERS, versionSchema } from "../schemas/health.ts";
import { openProblems } from "../schemas/problem.ts";
import { readinessView } from "../views/health.ts";

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
          response: { 200: healthSchema, ...openProblems() },
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
          response: READY_ANSWERS,
        },
      },
      async (_request, reply) => {
        const answer = readinessView(await readiness());
        return reply.code(answer.status === "ready" ? 200 : 503).send(answer);
      },
    );
    app.get(
      "/version",
      {
        config,
        schema: {
          summary: "Read the version of the service",
          tags,
          response: { 200: versionSchema, ...openProblems(429) },
        },
      },
      async () => ({ name: "carillon" as const, version: packageJson.version }),
    );
  };
