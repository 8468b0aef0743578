/** Answers one run, waiting for its end where the caller asks for it. */
import type { FastifyReply } from "fastify";
import { isFinal } from "../core/run.ts";
import type { Deps } from "../orchestrator/deps.ts";
import { readRun, waitForRun } from "../orchestrator/read-history.ts";
import { problemResponses } from "./schemas/problem.ts";
import { runSchema } from "./schemas/run.ts";
import { runView } from "./schemas/run-view.ts";

/** What a call that reads a run may answer. */
export const RUN_ANSWERS = { 200: runSchema, ...problemResponses };

/** What a call that makes a run may answer: 202 while it has not ended. */
export const TRIGGER_ANSWERS = { ...RUN_ANSWERS, 202: runSchema };

/**
 * Answers the run with its X-Run headers: 200 once it has ended, `unfinished` before. Closing the connection
 * cancels nothing. Throws run_not_found.
 */
export async function answerRun(
  deps: Deps,
  reply: FastifyReply,
  id: string,
  { waitMs = 0, unfinished }: { waitMs?: number | undefined; unfinished: 200 | 202 },
): Promise<FastifyReply> {
  if (waitMs > 0) await waitForRun(deps, id, waitMs);
  const run = runView(await readRun(deps, id));
  reply.header("x-run-id", run.id).header("x-run-state", run.state);
  if (run.status !== null) reply.header("x-exit-code", String(run.status));
  return reply.code(isFinal(run.state) ? 200 : unfinished).send(run);
}
