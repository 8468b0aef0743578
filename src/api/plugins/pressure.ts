/** Refuses new calls while the process is overloaded, so that calls in progress can finish. */
import { getHeapStatistics } from "node:v8";
import underPressure from "@fastify/under-pressure";
import type { FastifyInstance } from "fastify";
import { CarillonError } from "../../errors.ts";

export interface PressureLimits {
  /** Maximum mean delay (ms) of the event loop in one sample; default 1,000. */
  maxEventLoopDelay?: number;
  /** Default: 90 % of the heap limit of V8. */
  maxHeapUsedBytes?: number;
  /** Length of a sample, in ms; default 5,000. A sample of about 10 ms may contain no measurement. */
  sampleInterval?: number;
}

/** Answers 503 `unavailable` beyond the limits, except on routes that are `unlimited`. */
export async function shedUnderPressure(app: FastifyInstance, limits: PressureLimits = {}): Promise<void> {
  await app.register(underPressure, {
    maxEventLoopDelay: 1_000,
    maxHeapUsedBytes: 0.9 * getHeapStatistics().heap_size_limit,
    // One long task, such as parsing a large document, is no overload: a long sample averages it out.
    sampleInterval: 5_000,
    ...limits,
    pressureHandler: async (request) => {
      if (request.routeOptions.config.unlimited === true) return;
      throw new CarillonError("unavailable", "The service is overloaded: try again shortly.");
    },
  });
}
