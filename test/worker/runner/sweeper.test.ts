/** No process that a command started survives it, however it hides. */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { type Folder, temporaryFolder } from "../../support/temporary-folder.ts";
import { isAlive, startTestRunner, type TestRunner } from "../../support/test-runner.ts";

/** Python can end the first thread of a program; without it that test is skipped. */
const hasPython = spawnSync("python3", ["-c", "import ctypes"]).status === 0;
if (!hasPython) console.log("skipped without python3: a program whose first thread has ended");

let folder: Folder;
let test: TestRunner;
beforeAll(async () => {
  folder = await temporaryFolder();
  test = await startTestRunner();
});
afterAll(async () => {
  await test[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

const created = (name: string) =>
  vi.waitUntil(() => existsSync(join(folder.path, name)), { timeout: 10_000 });

function pidIn(name: string): number {
  const pid = Number(readFileSync(join(folder.path, name), "utf8"));
  expect(pid).toBeGreaterThan(0);
  return pid;
}

/** Shell text that writes a pid to a file in one step: the file is never incomplete. */
const writePid = (name: string) => `echo $$ > ${name}.new; mv ${name}.new ${name}`;

describe.skipIf(process.platform !== "linux")("when the command has ended by itself", () => {
  it.each([
    ["a child", "sh -c 'W; exec sleep 60' &"],
    ["a daemon that holds the pipe", "setsid sh -c 'W; exec sleep 60' &"],
    ["a double fork", "(setsid sh -c 'W; exec sleep 60' > /dev/null 2>&1 &) &"],
    ["an empty environment", "env -i sh -c 'W; exec /bin/sleep 60' &"],
    [
      "a child of a daemon with an empty environment",
      "setsid sh -c 'env -i /bin/sh -c \"W; exec /bin/sleep 60\" & exec sleep 60' &",
    ],
  ])("%s is gone", async (name, text) => {
    const file = name.replaceAll(" ", "-");
    const background = text.replace("W", () => writePid(file));
    const command = test.sh(`${background} until [ -e ${file} ]; do :; done; exit 3`, { cwd: folder.path });
    expect((await command.finished).end).toEqual({ kind: "exited", code: 3 });
    expect(isAlive(pidIn(file))).toBe(false);
  });
});

describe.skipIf(process.platform !== "linux")("when the command is killed", () => {
  it("a child without marker in its own session is found while the tree still exists", async () => {
    const child = `env -i setsid /bin/sh -c '${writePid("hidden")}; exec /bin/sleep 60'`;
    const command = test.sh(`trap '' TERM; ${child} & while :; do wait; done`, {
      cwd: folder.path,
      killGraceMs: 50,
    });
    await created("hidden");
    command.kill("cancelled");
    expect((await command.finished).end).toEqual({ kind: "killed", reason: "cancelled" });
    expect(isAlive(pidIn("hidden"))).toBe(false);
  });

  it("a tree that never stops forking cannot escape", async () => {
    // Each process starts the next one in its own session, without the marker.
    const text = `trap '' TERM; echo x >> generations; env -i setsid /bin/sh fork & wait`;
    const command = test.sh(`echo ${JSON.stringify(text)} > fork; trap '' TERM; /bin/sh fork; sleep 60`, {
      cwd: folder.path,
      killGraceMs: 1_000,
    });
    await created("generations");
    command.kill("cancelled");
    await command.finished;
    const generations = () => readFileSync(join(folder.path, "generations"), "utf8").length;
    const last = generations();
    // A generation takes a few ms: if one had survived, there would be more by now.
    await test.sh("sleep 0.3").finished;
    expect(generations()).toBe(last);
  });

  it.skipIf(!hasPython)(
    "a program whose first thread has ended is killed with its other threads",
    async () => {
      const program = [
        "import ctypes, threading, time",
        "threading.Thread(target=time.sleep, args=(60,)).start()",
        "open('threads', 'w').close()",
        "ctypes.CDLL(None).pthread_exit(None)",
      ].join("; ");
      const command = test.sh(`${writePid("headless")}; trap '' TERM; exec python3 -c "${program}"`, {
        cwd: folder.path,
        killGraceMs: 50,
      });
      await created("threads");
      command.kill("cancelled");
      expect((await command.finished).end).toEqual({ kind: "killed", reason: "cancelled" });
      expect(isAlive(pidIn("headless"))).toBe(false);
    },
  );

  it("other commands are not touched", async () => {
    const neighbour = test.sh("until [ -e go ]; do sleep 0.02; done; exit 4", { cwd: folder.path });
    const killed = test.sh("setsid sleep 60 & touch there; wait", { cwd: folder.path });
    await created("there");
    killed.kill("lost");
    await killed.finished;
    await test.sh("touch go", { cwd: folder.path }).finished;
    expect((await neighbour.finished).end).toEqual({ kind: "exited", code: 4 });
  });
});
