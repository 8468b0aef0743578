/** Converts the readiness of this process to a response. */
import type { z } from "zod";
import type { Health } from "../../lifecycle.ts";
import type { Readiness } from "../readiness.ts";
import type { readinessSchema } from "../schemas/health.ts";
import { schedulerView } from "./overview.ts";

type ReadinessBody = z.input<typeof readinessSchema>;

/** Returns the readiness, with the parts of the process and what keeps it from being ready. */
export function readinessView({ notReady, parts, scheduler }: Readiness): ReadinessBody {
  return {
    status: notReady.length === 0 ? "ready" : "not ready",
    not_ready: notReady,
    parts: parts.map(partView),
    scheduler: schedulerView(scheduler),
  };
}

function partView(health: Health): ReadinessBody["parts"][number] {
  const { name, isLate, lastError, sinceSuccessMs, sinceErrorMs, errors } = health;
  return {
    name,
    state: isLate ? "late" : lastError === undefined ? "ok" : "failing",
    last_success_ms: Math.round(sinceSuccessMs),
    last_error_ms: sinceErrorMs === undefined ? null : Math.round(sinceErrorMs),
    errors,
  };
}
