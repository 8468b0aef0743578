/** Turns calls away while the process cannot keep up, so that those under way get done. */
import { getHeapStatistics } from "node:v8";
import underPressure from "@fastify/under-pressure";
import type { FastifyInstance } from "fastify";
import { CarillonError } from "../../errors.ts";

export interface PressureLimits {
  /** Mean delay of the event loop over one sample, in ms; default 1,000. */
  maxEventLoopDelay?: number;
  /** Default: nine tenths of what V8 may have. */
  maxHeapUsedBytes?: number;
  /** How often is measured, in ms; default 5,000. Not much above 10, a sample may have nothing in it. */
  sampleInterval?: number;
}

/** Answers 503 `unavailable` beyond the limits, and never where the route is `unlimited`. */
export async function shedUnderPressure(app: FastifyInstance, limits: PressureLimits = {}): Promise<void> {
  await app.register(underPressure, {
    maxEventLoopDelay: 1_000,
    maxHeapUsedBytes: 0.9 * getHeapStatistics().heap_size_limit,
    // One long piece of work, such as a large document, is not pressure: in so long a sample it is one delay of many.
    sampleInterval: 5_000,
    ...limits,
    pressureHandler: async (request) => {
      if (request.routeOptions.config.unlimited === true) return;
      throw new CarillonError("unavailable", "The service has more to do than it can: try again shortly");
    },
  });
}
