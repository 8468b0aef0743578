/** The open calls: is it alive, is it ready, which version. */
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { z } from "zod";
import packageJson from "../../../package.json" with { type: "json" };
import { openProblems } from "../schemas/problem.ts";

const Healthy = z.object({ status: z.literal("ok") }).meta({ id: "Health", example: { status: "ok" } });
const Ready = z
  .object({
    status: z.enum(["ready", "not ready"]),
    not_ready: z.array(z.string()).describe("What is not ready, and why"),
  })
  .meta({ id: "Readiness", example: { status: "ready", not_ready: [] } });
const Version = z
  .object({ name: z.literal("carillon"), version: z.string() })
  .meta({ id: "Version", example: { name: "carillon", version: packageJson.version } });

const refusals = openProblems();
const unready = {
  description: "What is not ready, and why; or a problem while the service stops",
  content: { "application/json": { schema: Ready }, ...refusals[503].content },
};

/** @param notReady names what is not ready; empty when all is */
export const healthRoutes =
  (notReady: () => Promise<string[]>): FastifyPluginAsyncZod =>
  async (app) => {
    const config = { public: true };
    const tags = ["health"];
    app.get(
      "/healthz",
      {
        config: { ...config, unlimited: true },
        schema: { summary: "Alive", tags, response: { 200: Healthy, ...refusals } },
      },
      async () => ({ status: "ok" as const }),
    );
    app.get(
      "/readyz",
      {
        config,
        schema: { summary: "Ready to work", tags, response: { ...refusals, 200: Ready, 503: unready } },
      },
      async (_request, reply) => {
        const reasons = await notReady();
        if (reasons.length === 0) return { status: "ready" as const, not_ready: [] };
        return reply.code(503).send({ status: "not ready", not_ready: reasons });
      },
    );
    app.get(
      "/version",
      { config, schema: { summary: "Version", tags, response: { 200: Version, ...refusals } } },
      async () => ({ name: "carillon" as const, version: packageJson.version }),
    );
  };
