/** Responds with one run, and first waits for its end when the caller asks for it. */
import type { FastifyReply } from "fastify";
import type { Caller } from "../../access/rules/grants.ts";
import { CarillonError } from "../../errors.ts";
import type { Infra } from "../../infra.ts";
import { type FullRun, newFullRun, type RunDetail } from "../../runs/read.ts";
import { isFinal } from "../../runs/rules/states.ts";
import { readRunBefore, waitForRun } from "../../runs/wait.ts";
import type { ApiSettings } from "../settings.ts";
import { preferred } from "./accept.ts";
import { LOG_BYTES, runView } from "./run.ts";

/** The options of a response with a run. */
export interface RunAnswer {
  /** Maximum time (ms) to wait for the end; undefined: the caller did not ask to wait. */
  wait?: number | undefined;
  /** Respond with 424 when the run has ended without success. */
  fail?: boolean | undefined;
  /** The run when it has just been created: without `wait` it is the answer. */
  created?: RunDetail | undefined;
  /** The status when the caller did not ask to wait, or the run has not ended in that time. */
  unfinished: 200 | 202;
}

/**
 * Sends the run with its X-Run headers. The status is 200 when the caller asked to wait and the run has ended, else `unfinished`.
 * Closing the connection does not cancel the run. Throws run_not_found, run_failed.
 */
export async function answerRun(
  { db }: Pick<Infra, "db">,
  caller: Caller,
  reply: FastifyReply,
  id: string,
  { wait, fail = false, created, unfinished }: RunAnswer,
  settings: Pick<ApiSettings, "reader" | "closing">,
): Promise<FastifyReply> {
  const deadline = performance.now() + (wait ?? 0);
  if (wait !== undefined) {
    // A skipped run has ended already.
    const isNew = created !== undefined && !isFinal(created.state);
    await waitForRun(settings.reader, id, wait, { ...settings, isNew });
  }
  const type = preferred(reply.request, ["application/json", "text/plain"]);
  const full =
    created !== undefined && wait === undefined
      ? newFullRun(caller, created)
      : await readRunBefore(deadline, db, caller, id, type === "text/plain" ? undefined : LOG_BYTES);
  const { state, status } = full.run;
  reply.header("x-run-id", id).header("x-run-state", state);
  if (status !== null) reply.header("x-exit-code", String(status));
  if (fail && isFinal(state) && state !== "succeeded") throw runFailed(full);
  // A caller that did not ask to wait gets `unfinished`, even when the run has ended by now.
  const awaited = wait !== undefined && isFinal(state);
  reply.code(awaited ? 200 : unfinished).header("vary", "accept");
  return type === "text/plain"
    ? reply.type("text/plain; charset=utf-8").send(full.log)
    : reply.send(runView(full));
}

function runFailed(full: FullRun): CarillonError {
  const { id, state, status, startedAt } = full.run;
  const { reason } = runView(full);
  const why = reason === null ? "" : `: ${reason}`;
  const exit = status === null ? "" : ` with exit code ${status}`;
  // A run that never started has no log.
  return new CarillonError(
    "run_failed",
    startedAt === null
      ? `The run ${id} ended as ${state}${exit}${why}.`
      : `The run ${id} ended as ${state}${exit}${why}. GET /api/v1/runs/${id}/log returns its log.`,
  );
}
