/** The responses of the calls without a token: liveness, readiness and version. */
import { z } from "zod";
import packageJson from "../../../package.json" with { type: "json" };
import { STATS } from "./examples.ts";
import { schedulerSchema } from "./overview.ts";
import { openProblems } from "./problem.ts";

/** `/healthz`. */
export const healthSchema = z
  .object({ status: z.literal("ok") })
  .meta({ id: "Health", example: { status: "ok" } });

const partSchema = z.object({
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

/** `/readyz`. */
export const readinessSchema = z
  .object({
    status: z.enum(["ready", "not ready"]),
    not_ready: z
      .array(z.string())
      .describe("The parts that are not ready, with the reason; empty when the process is ready"),
    parts: z.array(partSchema).describe("The long-running parts of this process"),
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

/** `/version`. */
export const versionSchema = z
  .object({ name: z.literal("carillon"), version: z.string() })
  .meta({ id: "Version", example: { name: "carillon", version: packageJson.version } });

const refusals = openProblems(429);

/** The responses of `/readyz`; a stopping service sends a problem with 503. */
export const READY_ANSWERS = {
  ...refusals,
  200: readinessSchema,
  503: {
    description:
      "The process is not ready, and `not_ready` names the reasons; or a problem while the service stops",
    content: { "application/json": { schema: readinessSchema }, ...refusals[503].content },
  },
};
