/** The PID namespace around the runner: its end kills everything in it, and `auto` uses it only where it is harmless. */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import pino from "pino";
import { expect, it, vi } from "vitest";
import { OperatorError } from "../../src/errors.ts";
import { areAllRelated } from "../../src/worker/pid-namespace.ts";
import { listProcesses, type ProcessEntry } from "../../src/worker/runner/processes.ts";
import { createRunner } from "../../src/worker/runner-supervisor.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";
import { isAlive, startOwner, startTestRunner } from "../support/test-runner.ts";

const user = process.getuid?.() === 0 ? [] : ["--user", "--map-current-user"];
const trial = spawnSync("unshare", [...user, "--pid", "--fork", "--mount-proc", "true"], {
  encoding: "utf8",
});
const refusal = trial.status === 0 ? "" : (trial.error?.message ?? trial.stderr.trim());
if (refusal !== "") console.warn(`Tests of the PID namespace are skipped: ${refusal}`);

/** Finds the pid outside by a unique marker; inside the namespace the pid differs. */
function pidOutside(marker: string): number | undefined {
  return readdirSync("/proc")
    .map(Number)
    .find((pid) => {
      try {
        return pid > 0 && readFileSync(`/proc/${pid}/cmdline`, "utf8") === `/bin/sleep\0${marker}\0`;
      } catch {
        return false;
      }
    });
}

/** The pid of the runner as seen from outside; its parents are the first process of the namespace and unshare. */
function runnersOf(pid: number): number[] {
  const processes = listProcesses();
  const childrenOf = (of: number) =>
    processes.filter(({ parent }) => parent === of).map((child) => child.pid);
  return childrenOf(pid).flatMap(childrenOf);
}

it.skipIf(refusal !== "")("its end kills processes that cannot be found, and it reaps orphans", async () => {
  await using folder = await temporaryFolder();
  await using test = await startTestRunner({ pidNamespace: "on" });
  const marker = `60.${process.pid}1`;
  // An orphan without marker in its own session: nothing links it to the command.
  const hidden = `(env -i setsid /bin/sleep ${marker} > /dev/null 2>&1 &)`;
  const command = test.sh(`${hidden}; echo $$; touch up; exec sleep 60`, { cwd: folder.path });
  await vi.waitUntil(() => existsSync(join(folder.path, "up")) && pidOutside(marker), { timeout: 10_000 });
  const pid = pidOutside(marker) ?? 0;
  expect(Number(command.output())).toBeLessThan(100);

  await test.sh("for i in 1 2 3 4 5; do (sleep 0.01 &); done; sleep 0.1").finished;
  expect((await test.sh("grep -l '^State:.Z' /proc/[0-9]*/status").finished).output.toString()).toBe("");

  process.kill(await test.runner.pid(), "SIGKILL");
  expect((await command.finished).end).toEqual({ kind: "runner_died" });
  expect(isAlive(pid)).toBe(false);
  expect((await test.sh("exit 3").finished).end).toEqual({ kind: "exited", code: 3 });
});

it.skipIf(refusal !== "")("a namespace with a stopped runner is ended by the next worker", async () => {
  await using folder = await temporaryFolder();
  const marker = `60.${process.pid}2`;
  const text = `exec /bin/sleep ${marker}`;
  const owner = await startOwner({ folder: folder.path, text, cwd: "/", pidNamespace: "on" });
  await vi.waitUntil(() => pidOutside(marker), { timeout: 10_000 });
  const pid = pidOutside(marker) ?? 0;
  for (const inside of runnersOf(owner.runner)) process.kill(inside, "SIGSTOP");
  await owner.kill();
  expect(isAlive(pid)).toBe(true);
  await using _next = await startTestRunner({ journals: folder.path });
  expect([isAlive(pid), isAlive(owner.runner)]).toEqual([false, false]);
});

it("fails the start with a message when it is required and the system refuses it", async () => {
  await using folder = await temporaryFolder();
  const path = join(folder.path, "no-such-folder");
  const options = { folder: folder.path, path, log: pino({ level: "silent" }) };
  const start = createRunner({ ...options, pidNamespace: "on" });
  await expect(start).rejects.toThrow(OperatorError);
  await expect(start).rejects.toThrow(/^PID_NAMESPACE is on, but .+unshare.+Set it to off\.$/);
  // Without a namespace the same runner starts.
  await (await createRunner({ ...options, pidNamespace: "auto" })).close();
});

it("is not used by `auto` where it would hide a process", () => {
  const entry = (pid: number, parent: number): ProcessEntry => ({
    ...{ pid, parent, startTime: 1, group: pid, session: pid, zombie: false },
  });
  const related = [entry(1, 0), entry(5, 1), entry(7, 5), entry(8, 7), entry(9, 8)];
  expect(areAllRelated(7, related)).toBe(true);
  expect(areAllRelated(7, [...related, entry(6, 1)])).toBe(false);
});
