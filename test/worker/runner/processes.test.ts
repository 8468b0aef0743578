/** A process that starts its successor and ends, again and again, cannot escape the scans of the runner. */
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { environmentOf } from "../../../src/worker/runner/processes.ts";
import { processesWith } from "../../support/process-search.ts";
import { PATH, startTestRunner, type TestRunner } from "../../support/test-runner.ts";

let test: TestRunner;
beforeAll(async () => {
  test = await startTestRunner();
});
afterAll(() => test[Symbol.asyncDispose]());

/** Several generations that only start the next one, in their own session: only the marker identifies them. */
const HOPPING =
  "setsid sh -c 'hop() { if [ $1 -gt 0 ]; then hop $(($1 - 1)) & else exec sleep 60; fi; }; hop 4' >/dev/null 2>&1 &";

async function claimTimeLeftMs(id: string): Promise<number> {
  const env = { PATH, CARILLON_RUN_ID: id, CARILLON_ATTEMPT: "0" };
  const { end } = await test.sh(HOPPING, { env, marker: ["CARILLON_RUN_ID", "CARILLON_ATTEMPT"] }).finished;
  expect(end).toEqual({ kind: "exited", code: 0 });
  return processesWith(id).length;
}

describe.skipIf(process.platform !== "linux")("the search for processes", () => {
  it("finds every process of a chain of successors, in many tries", async () => {
    for (let round = 0; round < 20; round++) {
      const left = await Promise.all(Array.from({ length: 4 }, () => claimTimeLeftMs(randomUUID())));
      expect(left).toEqual([0, 0, 0, 0]);
    }
  });

  it("reports no environment for an ended process, and an empty one for a process started without any", async () => {
    const child = spawn("sleep", ["60"], { env: {} });
    await once(child, "spawn");
    const { pid = 0 } = child;
    expect(environmentOf(pid)).toEqual(new Set([""]));
    child.kill("SIGKILL");
    await once(child, "exit");
    expect(environmentOf(pid)).toBeUndefined();
    expect(environmentOf(process.pid)).toContain(`PATH=${process.env["PATH"]}`);
  });
});
