/** Journals, and the leftovers of a runner that was killed, or stopped when its worker died; similar processes are spared. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openJournal, readJournal } from "../../../src/worker/runner/journal.ts";
import { type PidSpace, pidSpace, readProcess } from "../../../src/worker/runner/processes.ts";
import { killLeftovers } from "../../../src/worker/runner-leftovers.ts";
import { type Folder, temporaryFolder } from "../../support/temporary-folder.ts";
import { isAlive } from "../../support/test-runner.ts";

let folder: Folder;
const children: ChildProcess[] = [];
beforeEach(async () => {
  folder = await temporaryFolder();
});
afterEach(async () => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  await folder[Symbol.asyncDispose]();
});

const sleeper = (env: Record<string, string> = {}) => processId("/bin/sleep", ["60"], env);

/** A process in its own session, like a command. */
async function processId(file: string, args: string[], env: Record<string, string> = {}) {
  const child = spawn(file, args, { detached: true, stdio: "ignore", env });
  children.push(child);
  await once(child, "spawn");
  const { pid = 0 } = child;
  return { pid, startTime: readProcess(pid)?.startTime ?? 0 };
}

const here = pidSpace() as PidSpace;
const marker = ["CARILLON_RUN_ID=7", "CARILLON_ATTEMPT=0"];
const marked = { CARILLON_RUN_ID: "7", CARILLON_ATTEMPT: "0" };
const ourselves = { pid: process.pid, startTime: readProcess(process.pid)?.startTime };
/** The pid of this process with another start time: a dead process. */
const dead = { ...ourselves, startTime: 1 };
/** The worker of all journals in which a test names none. */
const worker = dead;

function writeJournal(head: object, ...lines: object[]): void {
  const text = [{ worker, ...head }, ...lines].map((line) => `${JSON.stringify(line)}\n`).join("");
  writeFileSync(join(folder.path, "1-1.journal"), text);
}

describe.skipIf(process.platform !== "linux")("the leftovers of a dead runner", () => {
  it("are killed by pid and start time, and by marker; the journal is deleted", async () => {
    const [started, starting, ended] = [await sleeper(), await sleeper(marked), await sleeper()];
    writeJournal(
      { owner: dead, space: here },
      { starting: 1, marker: [] },
      { started: 1, root: started },
      { starting: 2, marker },
      { starting: 3, marker: [] },
      { started: 3, root: ended },
      { ended: 3 },
    );
    expect(await killLeftovers(folder.path)).toBe(2);
    expect([started, starting, ended].map(({ pid }) => isAlive(pid))).toEqual([false, false, true]);
    expect(readdirSync(folder.path)).toEqual([]);
  });

  it("a reused pid is not touched", async () => {
    const innocent = await sleeper();
    writeJournal(
      { owner: dead, space: here },
      { started: 1, root: { ...innocent, startTime: innocent.startTime - 1 } },
    );
    await killLeftovers(folder.path);
    expect(isAlive(innocent.pid)).toBe(true);
    expect(readdirSync(folder.path)).toEqual([]);
  });

  it.each([
    ["of before a restart of the machine", { ...here, bootId: "another" }],
    ["of another PID namespace", { ...here, namespace: "pid:[1]" }],
  ])("pids %s are ignored", async (_what, space) => {
    const innocent = await sleeper(marked);
    writeJournal({ owner: dead, space }, { starting: 1, marker }, { started: 1, root: innocent });
    expect(await killLeftovers(folder.path)).toBe(0);
    expect(isAlive(innocent.pid)).toBe(true);
    expect(readdirSync(folder.path)).toEqual([]);
  });

  it("are none while the runner and its worker are alive", async () => {
    const [owner, running] = [await sleeper(), await sleeper(marked)];
    process.kill(owner.pid, "SIGSTOP");
    const head = { owner, worker: ourselves, space: here };
    writeJournal(head, { starting: 1, marker }, { started: 1, root: running });
    expect(await killLeftovers(folder.path)).toBe(0);
    expect([owner, running].map(({ pid }) => isAlive(pid))).toEqual([true, true]);
    expect(readdirSync(folder.path)).toEqual(["1-1.journal"]);
  });

  it("are killed with a stopped runner whose worker is dead", async () => {
    const [owner, running] = [await sleeper(), await sleeper(marked)];
    process.kill(owner.pid, "SIGSTOP");
    writeJournal({ owner, space: here }, { starting: 1, marker }, { started: 1, root: running });
    expect(await killLeftovers(folder.path)).toBe(1);
    expect([owner, running].map(({ pid }) => isAlive(pid))).toEqual([false, false]);
    expect(readdirSync(folder.path)).toEqual([]);
  });

  it("are left for a moment to a runner that cleans up by itself", async () => {
    const done = join(folder.path, "done");
    const owner = await processId("/bin/sh", ["-c", `sleep 0.3; touch ${done}`]);
    writeJournal({ owner, space: here });
    await killLeftovers(folder.path);
    expect([isAlive(owner.pid), readdirSync(folder.path)]).toEqual([false, ["done"]]);
  });

  it("an unusable journal is reported and does not stop the others", async () => {
    const running = await sleeper();
    writeJournal({ owner: dead, space: here }, { started: 1, root: running });
    mkdirSync(join(folder.path, "0-0.journal"));
    await expect(killLeftovers(folder.path)).rejects.toThrow("EISDIR");
    expect(isAlive(running.pid)).toBe(false);
    expect(readdirSync(folder.path)).toEqual(["0-0.journal"]);
  });
});

describe.skipIf(process.platform !== "linux")("a journal", () => {
  const file = () => join(folder.path, "journals", `${ourselves.pid}-${ourselves.startTime}.journal`);
  const open = () => openJournal(join(folder.path, "journals"), worker);

  it("lists running commands, and is short when there are none", () => {
    const journal = open();
    const empty = readFileSync(file(), "utf8");
    const root = { pid: 5, startTime: 6 };
    journal.starting(1, marker);
    journal.started(1, root);
    journal.starting(2, []);
    expect(readJournal(file())).toEqual({
      owner: ourselves,
      worker,
      space: here,
      running: [{ marker, root }, { marker: [] }],
    });
    journal.ended(1);
    expect(readJournal(file())?.running).toEqual([{ marker: [] }]);
    journal.ended(2);
    expect(readFileSync(file(), "utf8")).toBe(empty);
    journal.remove();
    expect(readJournal(file())).toBeUndefined();
  });

  it("stays short beside a command that never ends", () => {
    const journal = open();
    journal.starting(0, marker);
    journal.started(0, { pid: 5, startTime: 6 });
    for (let n = 1; n <= 5_000; n++) {
      journal.starting(n, marker);
      journal.ended(n);
    }
    expect(readFileSync(file(), "utf8").split("\n").length).toBeLessThan(2_100);
    expect(readJournal(file())?.running).toEqual([{ marker, root: { pid: 5, startTime: 6 } }]);
    journal.remove();
  });

  it("is read without truncated lines", () => {
    mkdirSync(join(folder.path, "journals"));
    const head = JSON.stringify({ owner: dead, worker, space: here });
    writeFileSync(file(), `${head}\n{"starting":1,"mar\n{"starting":2,"marker":[]}\n{"starting":3,"mar`);
    expect(readJournal(file())?.running).toEqual([{ marker: [] }]);
  });
});
