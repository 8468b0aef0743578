/** Runs real commands and checks their end, their output and what they leave behind. */
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { PIPE_BATCH, readOutput, takeOutputPipe } from "../../src/worker/runner/output-pipe.ts";
import {
  type CommandOptions,
  isAlive,
  PATH,
  startTestRunner,
  type TestCommand,
  type TestRunner,
} from "../support/test-runner.ts";

const env = { PATH };

let folder: string;
let test: TestRunner;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "carillon-test-"));
  test = await startTestRunner();
});
afterAll(async () => {
  await test[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

const sh = (text: string, options: CommandOptions = {}) => test.sh(text, { cwd: folder, ...options });
const exec = (argv: string[], options: CommandOptions = {}) => test.exec(argv, { cwd: folder, ...options });

async function outputOf(command: TestCommand): Promise<string> {
  return (await command.finished).output.toString();
}

async function memoryOfRunner(): Promise<number> {
  const status = readFileSync(`/proc/${await test.runner.pid()}/status`, "utf8");
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1_024;
}

const created = (name: string) => vi.waitUntil(() => existsSync(join(folder, name)), { timeout: 10_000 });
const gone = (pid: number) => vi.waitUntil(() => !isAlive(pid), { timeout: 10_000 });

describe("how a command ends", () => {
  it("reports every exit code", async () => {
    const codes = Array.from({ length: 256 }, (_, code) => code);
    const ends = await Promise.all(codes.map((code) => sh(`exit ${code}`).finished));
    expect(ends.map(({ end }) => end)).toEqual(codes.map((code) => ({ kind: "exited", code })));
  });

  it("a command that sh does not find is an ordinary failure", async () => {
    const outcome = await sh("this fails").finished;
    expect(outcome.end).toEqual({ kind: "exited", code: 127 });
    expect(outcome.output.toString()).toContain("not found");
  });

  it.each([
    ["SIGHUP", 1],
    ["SIGINT", 2],
    ["SIGQUIT", 3],
    ["SIGABRT", 6],
    ["SIGKILL", 9],
    ["SIGSEGV", 11],
    ["SIGPIPE", 13],
    ["SIGTERM", 15],
  ] as const)("%s", async (signal, number) => {
    expect((await sh(`kill -${number} $$`).finished).end).toEqual({ kind: "signalled", signal, number });
  });

  it("a list is run without a shell, with exactly the environment and folder given, and no input", async () => {
    expect(await outputOf(exec(["echo", "$HOME", "a b; c"]))).toBe("$HOME a b; c\n");
    expect(await outputOf(exec(["env"], { env: { ...env, CUP: "large" } }))).toBe(
      `PATH=${env.PATH}\nCUP=large\n`,
    );
    expect(await outputOf(exec(["pwd", "-P"], { cwd: "/" }))).toBe("/\n");
    expect((await exec(["cat"]).finished).end).toEqual({ kind: "exited", code: 0 });
  });
});

describe("a command that cannot be started", () => {
  beforeAll(() => {
    writeFileSync(join(folder, "plain"), "#!/bin/sh\n");
    writeFileSync(join(folder, "orphan"), "#!/no/such/interpreter\n");
    chmodSync(join(folder, "orphan"), 0o755);
  });

  it.each<[string, string[], CommandOptions, number, string]>([
    ["missing binary", ["no-such-binary"], {}, 127, "command not found: no-such-binary"],
    ["missing interpreter", ["./orphan"], {}, 127, "command not found: ./orphan (or its interpreter)"],
    ["no execute permission", ["./plain"], {}, 126, "not an executable file: ./plain"],
    ["a folder", ["/"], {}, 126, "not an executable file: /"],
    ["missing cwd", ["true"], { cwd: "/no/such" }, 126, "working directory not found: /no/such"],
    ["file as cwd", ["true"], { cwd: "/bin/sh" }, 126, "working directory is not a directory: /bin/sh"],
    ["too long", ["true", "x".repeat(4e6)], {}, 126, "the command line and environment are too long"],
    ["empty list", [], {}, 126, "could not be started: the command is an empty list"],
    ["empty name", [""], {}, 126, "could not be started: "],
    ["NUL in an argument", ["true", "a\0b"], {}, 126, "could not be started: "],
  ])("%s", async (_, argv, options, code, message) => {
    const command = exec(argv, options);
    expect(await command.finished).toEqual({
      end: { kind: "start_failed", code, message: expect.stringContaining(message) },
      output: Buffer.alloc(0),
    });
    expect(await command.started).toBeUndefined();
    command.kill("cancelled");
  });
});

describe("timeout and kill", () => {
  it("a timeout takes precedence over the exit code", async () => {
    const command = sh("trap 'exit 0' TERM; while :; do sleep 0.01; done", { timeoutMs: 200 });
    expect((await command.finished).end).toEqual({ kind: "timed_out" });
  });

  it.each(["cancelled", "handed_back", "lost"] as const)(
    "the end names the reason of the kill: %s",
    async (reason) => {
      const command = exec(["sleep", "60"], { timeoutMs: 60_000 });
      await command.started;
      command.kill(reason);
      command.kill("cancelled");
      expect((await command.finished).end).toEqual({ kind: "killed", reason });
    },
  );

  it("a tree that ignores SIGTERM is killed after the grace", async () => {
    const loop = "while :; do sleep 1; done";
    const command = sh(`trap '' TERM; (${loop}) & echo $!; touch tree; ${loop}`, { killGraceMs: 100 });
    await created("tree");
    command.kill("cancelled");
    const { end, output } = await command.finished;
    expect(end).toEqual({ kind: "killed", reason: "cancelled" });
    await gone(Number(output.toString()));
  });

  it("the grace period is for the whole group, even when the shell itself ends at once", async () => {
    const cleanUp = "sleep 0.4; echo cleaned > cleaned; exit";
    const program = `(trap '${cleanUp}' TERM; touch trapped; while :; do sleep 0.01; done) > /dev/null`;
    const command = sh(`${program} & wait`);
    await created("trapped");
    command.kill("cancelled");
    expect((await command.finished).end).toEqual({ kind: "killed", reason: "cancelled" });
    expect(existsSync(join(folder, "cleaned"))).toBe(true);
  });

  it("a kill after the end has no effect", async () => {
    const command = sh("exit 3", { timeoutMs: 60_000 });
    await command.finished;
    command.kill("cancelled");
    expect((await command.finished).end).toEqual({ kind: "exited", code: 3 });
  });

  it("a command that is killed before there is a runner is never started", async () => {
    const command = sh("touch never");
    command.kill("lost");
    expect((await command.finished).end).toEqual({ kind: "killed", reason: "lost" });
    await sh("true").finished;
    expect(existsSync(join(folder, "never"))).toBe(false);
  });

  it("clears the timers of timeout and grace when the command has ended", async () => {
    const armed = vi.spyOn(globalThis, "setTimeout");
    const disarmed = vi.spyOn(globalThis, "clearTimeout");
    const command = exec(["sleep", "60"], { timeoutMs: 50_001, killGraceMs: 50_002 });
    await command.started;
    command.kill("cancelled");
    await command.finished;
    const timerOf = (ms: number) => armed.mock.results[armed.mock.calls.findIndex((call) => call[1] === ms)];
    const cleared = disarmed.mock.calls.map(([timer]) => timer);
    expect(cleared).toContain(timerOf(50_001)?.value);
    expect(cleared).toContain(timerOf(50_002)?.value);
    vi.restoreAllMocks();
  });
});

describe("output", () => {
  it("keeps the order of stdout and stderr", async () => {
    const output = await outputOf(
      sh("i=0; while [ $i -lt 1000 ]; do echo out $i; echo err $i >&2; i=$((i+1)); done"),
    );
    expect(output).toBe(Array.from({ length: 1_000 }, (_, i) => `out ${i}\nerr ${i}\n`).join(""));
  });

  it("can be opened by name", async () => {
    const text = "echo a > /dev/stderr; echo b | tee /dev/stdout; echo c > /dev/stdout; echo d";
    expect(await outputOf(sh(text))).toBe("a\nb\nb\nc\nd\n");
  });

  it("is byte-exact", async () => {
    const bytes = Buffer.from(Array.from({ length: 512 * 256 }, (_, i) => (i * 7 + (i >> 8)) % 256));
    writeFileSync(join(folder, "bytes"), bytes);
    expect((await exec(["cat", "bytes"]).finished).output.equals(bytes)).toBe(true);
  });

  it("written right before the exit is not lost", async () => {
    const commands = Array.from({ length: 100 }, () => exec(["head", "-c", "65536", "/dev/zero"]));
    const outcomes = await Promise.all(commands.map((command) => command.finished));
    expect(outcomes.filter(({ output }) => output.length !== 65_536)).toEqual([]);
  });

  it("of a flood is passed on completely, in bounded memory", async () => {
    const size = 64 * 1_048_576;
    let bytes = 0;
    const command = { kind: "argv", argv: ["head", "-c", `${size}`, "/dev/zero"] } as const;
    const before = await memoryOfRunner();
    await test.runner.start({ command, env, cwd: folder }, (chunk) => {
      bytes += chunk.length;
    }).finished;
    expect(bytes).toBe(size);
    expect((await memoryOfRunner()) - before).toBeLessThan(size / 2);
  });

  it("still in the pipe is read when the reader is closed", () => {
    const { readFd, writeFd } = takeOutputPipe();
    const chunks: string[] = [];
    const reader = readOutput(readFd, (chunk) => chunks.push(chunk.toString()) > 0);
    writeSync(writeFd, "last words");
    reader.close();
    closeSync(writeFd);
    expect(chunks).toEqual(["last words"]);
  });

  it("of a background process that ends right after the command is kept", async () => {
    const waitForParent = "while kill -0 $$ 2> /dev/null; do :; done";
    expect(await outputOf(sh(`(${waitForParent}; echo late) & echo early`))).toBe("early\nlate\n");
  });

  it("of 100 silent commands does not keep the thread pool busy", async () => {
    const commands = Array.from({ length: 100 }, () => exec(["sleep", "60"]));
    await Promise.all(commands.map((command) => command.started));
    expect(await outputOf(exec(["cat", "/dev/null"]))).toBe("");
    for (const command of commands) command.kill("cancelled");
    await Promise.all(commands.map((command) => command.finished));
  });
});

describe.skipIf(process.platform !== "linux")("leftovers", () => {
  it("a background process neither delays the end nor survives it", async () => {
    const pid = Number(await outputOf(sh("sleep 60 & echo $!")));
    expect(pid).toBeGreaterThan(0);
    await gone(pid);
  });

  it("a daemon in its own session neither delays the end nor survives it", async () => {
    const command = sh(
      "setsid sh -c 'echo $$ > daemon; touch up; exec sleep 60' & until [ -e up ]; do :; done",
    );
    expect((await command.finished).end).toEqual({ kind: "exited", code: 0 });
    expect(isAlive(Number(readFileSync(join(folder, "daemon"), "utf8")))).toBe(false);
  });

  it("a command inherits its own pipe and none of our files", async () => {
    const commands = Array.from({ length: 2 * PIPE_BATCH }, () => exec(["ls", "-l", "/proc/self/fd"]));
    for (const command of commands) {
      const links = (await outputOf(command)).split("\n");
      expect(links.filter((link) => link.includes("carillon-pipes-"))).toHaveLength(2);
      // 3 is the folder that ls reads.
      expect(links.flatMap((link) => / (\d+) -> /.exec(link)?.[1] ?? [])).toEqual(["0", "1", "2", "3"]);
    }
  });

  it("a zombie that nobody reaps does not delay a kill", async () => {
    const parent = "exec setsid sh -c 'echo $$ > parent; touch zombie-soon; exec sleep 60'";
    const command = sh(`(sleep 60 & ${parent}) & wait`, { killGraceMs: 60_000 });
    await created("zombie-soon");
    command.kill("cancelled");
    expect((await command.finished).end).toEqual({ kind: "killed", reason: "cancelled" });
  });

  it("no open file, zombie or folder is left after many commands", async () => {
    const pipes = mkdtempSync(join(folder, "pipes-"));
    vi.stubEnv("TMPDIR", pipes);
    await using other = await startTestRunner();
    const pid = await other.runner.pid();
    const openFiles = () => readdirSync(`/proc/${pid}/fd`).length;
    await other.sh("true").finished;
    const before = openFiles();
    const commands = Array.from({ length: 13 * PIPE_BATCH }, () => other.exec(["true"]));
    await Promise.all(commands.map((command) => command.finished));
    await other.exec(["no-such-binary"]).finished;
    // A multiple of the pipe batch, so that the number of open spare pipes is the same as before.
    for (let i = 2; i < PIPE_BATCH; i++) await other.exec([""]).finished;
    await other.sh("sleep 60 &").finished;
    expect(openFiles()).toBe(before);
    const started = await Promise.all(commands.map((command) => command.started));
    expect(started.filter((process) => existsSync(`/proc/${process?.pid}`))).toEqual([]);
    expect(readdirSync(pipes).filter((name) => name.startsWith("carillon-pipes-"))).toEqual([]);
    vi.unstubAllEnvs();
  });
});
