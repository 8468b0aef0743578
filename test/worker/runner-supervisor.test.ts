/** What happens to the commands of a runner when the runner, its worker or the worker's lease is gone. */
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { killLeftovers } from "../../src/worker/runner-leftovers.ts";
import { startRunnerProcess } from "../../src/worker/runner-process.ts";
import { type Folder, temporaryFolder } from "../support/temporary-folder.ts";
import { isAlive, PATH, startOwner, startTestRunner, type TestCommand } from "../support/test-runner.ts";

let folder: Folder;
beforeAll(async () => {
  folder = await temporaryFolder();
});
afterAll(() => folder[Symbol.asyncDispose]());

const created = (name: string) =>
  vi.waitUntil(() => existsSync(join(folder.path, name)), { timeout: 10_000 });
const pidIn = (name: string) => Number(readFileSync(join(folder.path, name), "utf8"));
const RUNNER_DIED = { kind: "runner_died" };
const LEASE_EXPIRED = { kind: "lease_expired" };

/** Writes its own pid and the pid of a daemon, and keeps running. */
const withDaemon = (name: string) =>
  `setsid sh -c 'echo $$ > ${name}.daemon; exec sleep 60' & until [ -s ${name}.daemon ]; do :; done;
   echo $$ > ${name}.new; mv ${name}.new ${name}; exec sleep 60`;
const areGone = (name: string) => !isAlive(pidIn(name)) && !isAlive(pidIn(`${name}.daemon`));

describe("when the runner is killed", () => {
  it("its commands are lost, their processes are killed, and another runner takes over", async () => {
    await using test = await startTestRunner();
    const command = test.sh(withDaemon("orphan"), { cwd: folder.path });
    await created("orphan");
    const first = await test.runner.pid();
    process.kill(first, "SIGKILL");
    expect((await command.finished).end).toEqual(RUNNER_DIED);
    expect(areGone("orphan")).toBe(true);
    expect((await test.sh("echo next").finished).output.toString()).toBe("next\n");
    expect(await test.runner.pid()).not.toBe(first);
  });

  it("neither its journal nor that of the next runner is left", async () => {
    const journals = join(folder.path, "journals");
    const found = () => readdirSync(journals).filter((name) => name.includes("journal"));
    const test = await startTestRunner({ journals });
    const command = test.sh("echo started; exec sleep 60");
    await expect.poll(command.output).toBe("started\n");
    process.kill(await test.runner.pid(), "SIGKILL");
    await command.finished;
    await test.sh("true").finished;
    expect(found()).toHaveLength(1);
    await test[Symbol.asyncDispose]();
    expect(found()).toEqual([]);
  });

  it.each([
    ["gets no request", () => undefined],
    ["gets a request to end a command", (command: TestCommand) => command.kill("cancelled")],
  ])("a hung runner that %s is killed and replaced", async (_what, tell) => {
    await using test = await startTestRunner({ confirmMs: 1_500 });
    const command = test.sh(withDaemon("hung"), { cwd: folder.path });
    await created("hung");
    const runner = await test.runner.pid();
    process.kill(runner, "SIGSTOP");
    tell(command);
    expect((await command.finished).end).toEqual(RUNNER_DIED);
    expect([areGone("hung"), isAlive(runner)]).toEqual([true, false]);
    expect((await test.sh("exit 5").finished).end).toEqual({ kind: "exited", code: 5 });
    for (const name of ["hung", "hung.daemon"]) rmSync(join(folder.path, name));
  });

  it("the start of a command detects a hung runner", async () => {
    await using test = await startTestRunner({ confirmMs: 1_500 });
    const runner = await test.runner.pid();
    process.kill(runner, "SIGSTOP");
    expect((await test.sh("exit 5").finished).end).toEqual(RUNNER_DIED);
    expect(isAlive(runner)).toBe(false);
    expect((await test.sh("exit 5").finished).end).toEqual({ kind: "exited", code: 5 });
  });

  it("a hung runner is killed early when a lease has expired", async () => {
    await using test = await startTestRunner({ confirmMs: 60_000 });
    const command = test.sh(withDaemon("overdue"), { cwd: folder.path, leaseMs: 60_000 });
    await created("overdue");
    const late = test.sh("echo late; exec sleep 60", { leaseMs: 1_000 });
    await late.started;
    process.kill(await test.runner.pid(), "SIGSTOP");
    expect((await late.finished).end).toEqual(RUNNER_DIED);
    expect((await command.finished).end).toEqual(RUNNER_DIED);
    expect(areGone("overdue")).toBe(true);
  });

  it("an unusable folder delays the next runner but loses no other command", async () => {
    const journals = join(folder.path, "folder");
    await using test = await startTestRunner({ journals });
    const command = test.sh("echo started; exec sleep 60");
    await expect.poll(command.output).toBe("started\n");
    renameSync(journals, `${journals}.away`);
    writeFileSync(journals, "");
    process.kill(await test.runner.pid(), "SIGKILL");
    expect((await command.finished).end).toEqual(RUNNER_DIED);
    const next = test.sh("exit 5");
    rmSync(journals);
    renameSync(`${journals}.away`, journals);
    expect((await next.finished).end).toEqual({ kind: "exited", code: 5 });
    // The journal of the runner whose leftovers could not be killed.
    expect(await killLeftovers(journals)).toBe(1);
  });

  it("close still ends when no other runner can be started", async () => {
    const journals = join(folder.path, "gone");
    const test = await startTestRunner({ journals });
    const command = test.sh("exec sleep 60");
    await command.started;
    rmSync(journals, { recursive: true });
    writeFileSync(journals, "");
    process.kill(await test.runner.pid(), "SIGKILL");
    await command.finished;
    const waiting = test.sh("true");
    await test[Symbol.asyncDispose]();
    expect((await waiting.finished).end).toEqual(RUNNER_DIED);
    expect((await test.sh("true").finished).end).toEqual(RUNNER_DIED);
    process.kill((await command.started)?.pid ?? 0, "SIGKILL");
  });

  it("signals to a whole control group do not end it", async () => {
    await using test = await startTestRunner();
    const pid = await test.runner.pid();
    for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"]) process.kill(pid, signal);
    expect((await test.sh("exit 6").finished).end).toEqual({ kind: "exited", code: 6 });
    expect(await test.runner.pid()).toBe(pid);
  });
});

describe("when the worker is gone", () => {
  it("closing the socket kills all commands and ends the runner", async () => {
    const test = await startTestRunner();
    const command = test.sh(`trap '' TERM; ${withDaemon("left")}`, { cwd: folder.path });
    await created("left");
    const pid = await test.runner.pid();
    await test[Symbol.asyncDispose]();
    expect((await command.finished).end).toEqual(RUNNER_DIED);
    expect([areGone("left"), isAlive(pid)]).toEqual([true, false]);
  });

  it("the next worker kills a stopped runner with all its commands", async () => {
    const journals = join(folder.path, "still-journals");
    const owner = await startOwner({ folder: journals, text: withDaemon("still"), cwd: folder.path });
    await created("still");
    process.kill(owner.runner, "SIGSTOP");
    await owner.kill();
    expect(areGone("still")).toBe(false);
    await using _next = await startTestRunner({ journals });
    expect([areGone("still"), isAlive(owner.runner)]).toEqual([true, false]);
  });

  it("a command whose lease expires is killed, and no other", async () => {
    await using test = await startTestRunner();
    const options = { cwd: folder.path, leaseMs: 400 };
    const frozen = test.sh("setsid sh -c 'echo $$; exec sleep 60' & wait", options);
    const renewed = test.sh("sleep 0.6; exit 7", options);
    const free = test.sh("sleep 0.6; exit 8");
    for (const command of [renewed, free]) command.extendLease(60_000);
    const { end, output } = await frozen.finished;
    expect([end, isAlive(Number(output.toString()))]).toEqual([LEASE_EXPIRED, false]);
    expect((await renewed.finished).end).toEqual({ kind: "exited", code: 7 });
    expect((await free.finished).end).toEqual({ kind: "exited", code: 8 });
  });

  it("a command whose lease expired before it arrived is not started", async () => {
    await using test = await startTestRunner();
    const command = test.sh("touch late", { cwd: folder.path, leaseMs: 0 });
    expect((await command.finished).end).toEqual(LEASE_EXPIRED);
    expect(existsSync(join(folder.path, "late"))).toBe(false);
  });
});

it("a flood that is not consumed stops, delays no other command, and continues when it is consumed", async () => {
  await using test = await startTestRunner();
  const gate = Promise.withResolvers<void>();
  let bytes = 0;
  const flood = test.runner.start(
    {
      command: { kind: "shell", text: "head -c 2000000 /dev/zero; touch flooded" },
      env: { PATH },
      cwd: folder.path,
    },
    async (chunk) => {
      await gate.promise;
      bytes += chunk.length;
    },
  );
  const other = await test.sh("head -c 20000000 /dev/zero").finished;
  expect(other.output.length).toBe(20_000_000);
  expect(existsSync(join(folder.path, "flooded"))).toBe(false);
  gate.resolve();
  expect(await flood.finished).toEqual({ kind: "exited", code: 0 });
  expect(bytes).toBe(2_000_000);
});

/** Starts a runner from a shell that first runs `setup`; returns the output of one command and the log of the runner. */
async function runAfter(setup: string, ...argv: string[]): Promise<{ output: string; log: string[] }> {
  const prefix = ["bash", "-c", `${setup}; exec "$@"`, "bash"];
  const folders = { cacheFolder: join(folder.path, "cache"), journalFolder: join(folder.path, "after") };
  const log: string[] = [];
  const link = await startRunnerProcess({ prefix, ...folders, path: PATH, onLog: (line) => log.push(line) });
  const ended = Promise.withResolvers<void>();
  let output = "";
  const events = {
    onStarted: () => undefined,
    onOutput(chunk: Buffer) {
      output += chunk.toString();
    },
    onExited: () => ended.resolve(),
    onLost: () => ended.reject(new Error("lost")),
  };
  link.start({ command: { kind: "argv", argv }, env: { PATH }, cwd: "/", marker: [] }, events);
  await ended.promise;
  await link.close();
  return { output, log };
}

describe.skipIf(process.platform !== "linux")("a runner", () => {
  it("passes no inherited file of the service on to commands", async () => {
    // Node itself closes only low descriptors, so 20 tests ours; 3 is the folder that ls reads.
    const { output } = await runAfter("exec 20< /dev/null", "ls", "/proc/self/fd");
    expect(output).toBe("0\n1\n2\n3\n");
  });

  it("that cannot write its journal reports it once, and still runs commands", async () => {
    const { output, log } = await runAfter("ulimit -f 0", "echo", "hello");
    expect(output).toBe("hello\n");
    expect(log).toEqual([expect.stringMatching(/^the journal cannot be written: .*EFBIG/)]);
  });
});
