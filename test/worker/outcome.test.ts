/** The state and the reason of an attempt, for each end of its command. */
import { expect, it } from "vitest";
import { attemptOutcome, attemptReason } from "../../src/worker/outcome.ts";
import type { CommandEnd } from "../../src/worker/remote-command.ts";

it("counts every exit code except 0 as a failure, and records it", () => {
  for (let code = 0; code < 256; code++) {
    const state = code === 0 ? "succeeded" : "failed";
    expect(attemptOutcome({ kind: "exited", code })).toEqual({ state, status: code });
  }
});

it.each<[CommandEnd, string, string | undefined]>([
  [{ kind: "exited", code: 0 }, "succeeded", undefined],
  [{ kind: "signalled", signal: "SIGKILL", number: 9 }, "failed", "killed by SIGKILL (signal 9)"],
  [{ kind: "timed_out" }, "timed_out", "timed out after 10m"],
  [{ kind: "start_failed", code: 127, message: "no such file" }, "start_failed", "no such file"],
  [{ kind: "runner_died" }, "lost", "the runner process died"],
  [{ kind: "lease_expired" }, "lost", "the worker did not extend its lease in time"],
  [{ kind: "killed", reason: "lost" }, "lost", "the worker could not renew its claim in time"],
  [{ kind: "killed", reason: "cancelled" }, "cancelled", undefined],
  [{ kind: "killed", reason: "handed_back" }, "handed_back", undefined],
])("%o is %s", (end, state, reason) => {
  expect(attemptOutcome(end).state).toBe(state);
  expect(attemptReason(end, 600_000)).toBe(reason);
});
