/** Runs real commands and checks their end, their output and what they leave behind. */
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { type CommandSpec, type RunningCommand, startCommand } from "../../src/worker/command.ts";
import { PIPE_BATCH, readOutput, takeOutputPipe } from "../../src/worker/output-pipe.ts";

const env = { PATH: process.env["PATH"] ?? "/usr/bin:/bin" };
type Options = Partial<Omit<CommandSpec, "command">>;

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "carillon-test-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

const sh = (text: string, options: Options = {}): RunningCommand =>
  startCommand({ command: { kind: "shell", text }, env, cwd: folder, ...options });

const exec = (argv: string[], options: Options = {}): RunningCommand =>
  startCommand({ command: { kind: "argv", argv }, env, cwd: folder, ...options });

async function outputOf(command: RunningCommand): Promise<string> {
  return (await command.finished).output.toString();
}

/** A zombie that waits for its new parent is as good as gone. */
function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

const created = (name: string) => vi.waitUntil(() => existsSync(join(folder, name)), { timeout: 10_000 });
const gone = (pid: number) => vi.waitUntil(() => !isAlive(pid), { timeout: 10_000 });

describe("how a command ends", () => {
  it.each([0, 1, 126, 127, 255])("exit code %i", async (code) => {
    expect((await sh(`exit ${code}`).finished).end).toEqual({ kind: "exited", code });
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

describe("what cannot be started", () => {
  beforeAll(() => {
    writeFileSync(join(folder, "plain"), "#!/bin/sh\n");
    writeFileSync(join(folder, "orphan"), "#!/no/such/interpreter\n");
    chmodSync(join(folder, "orphan"), 0o755);
  });

  it.each<[string, string[], Options, number, string]>([
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
    expect(command.pid).toBeUndefined();
    expect(await command.finished).toEqual({
      end: { kind: "start_failed", code, message: expect.stringContaining(message) },
      output: Buffer.alloc(0),
      omittedBytes: 0,
    });
    command.kill("cancelled");
  });
});

describe("timeout and kill", () => {
  it("a timeout wins over the exit code", async () => {
    const command = sh("trap 'exit 0' TERM; while :; do sleep 0.01; done", { timeoutMs: 200 });
    expect((await command.finished).end).toEqual({ kind: "timed_out" });
  });

  it.each(["cancelled", "handed_back", "lost"] as const)("a kill says why: %s", async (reason) => {
    const command = exec(["sleep", "60"], { timeoutMs: 60_000 });
    command.kill(reason);
    command.kill("cancelled");
    expect((await command.finished).end).toEqual({ kind: "killed", reason });
  });

  it("a tree that ignores SIGTERM is killed after the grace", async () => {
    const loop = "while :; do sleep 1; done";
    const command = sh(`trap '' TERM; (${loop}) & echo $!; touch tree; ${loop}`, { killGraceMs: 100 });
    await created("tree");
    command.kill("cancelled");
    const { end, output } = await command.finished;
    expect(end).toEqual({ kind: "killed", reason: "cancelled" });
    await gone(Number(output.toString()));
  });

  it("the grace is for the whole group, also when the shell itself dies at once", async () => {
    const cleanUp = "sleep 0.4; echo cleaned > cleaned; exit";
    const program = `(trap '${cleanUp}' TERM; touch trapped; while :; do sleep 0.01; done) > /dev/null`;
    const command = sh(`${program} & wait`);
    await created("trapped");
    command.kill("cancelled");
    expect((await command.finished).end).toEqual({ kind: "killed", reason: "cancelled" });
    expect(existsSync(join(folder, "cleaned"))).toBe(true);
  });

  it("signals nobody once the command and its group are gone", async () => {
    const signals = vi.spyOn(process, "kill");
    const command = sh("exit 3", { timeoutMs: 60_000 });
    const outcome = await command.finished;
    command.kill("cancelled");
    expect(signals.mock.calls).toEqual([[-Number(command.pid), 0]]);
    expect(outcome.end).toEqual({ kind: "exited", code: 3 });
    signals.mockRestore();
  });

  it("disarms the timeout and the grace when the command has ended", async () => {
    const armed = vi.spyOn(globalThis, "setTimeout");
    const disarmed = vi.spyOn(globalThis, "clearTimeout");
    const command = exec(["sleep", "60"], { timeoutMs: 50_001, killGraceMs: 50_002 });
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

  it("of a flood is cut and takes bounded memory", async () => {
    const before = process.memoryUsage().rss;
    const { output, omittedBytes } = await exec(["head", "-c", `${64 * 1_048_576}`, "/dev/zero"]).finished;
    expect(process.memoryUsage().rss - before).toBeLessThan(32 * 1_048_576);
    expect(omittedBytes).toBe(63 * 1_048_576);
    expect(output.length).toBeLessThan(1_048_576 + 100);
  });

  it("still in the pipe is taken when the reader is closed", () => {
    const { readFd, writeFd } = takeOutputPipe();
    const chunks: string[] = [];
    const reader = readOutput(readFd, (chunk) => chunks.push(chunk.toString()));
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
    await readFile("/dev/null");
    for (const command of commands) command.kill("cancelled");
    await Promise.all(commands.map((command) => command.finished));
  });
});

describe.skipIf(process.platform !== "linux")("what is left behind", () => {
  it("a background process neither keeps the run open nor survives it", async () => {
    const pid = Number(await outputOf(sh("sleep 60 & echo $!")));
    expect(pid).toBeGreaterThan(0);
    await gone(pid);
  });

  it("a daemon in a session of its own does not keep the run open", async () => {
    const command = sh(
      "setsid sh -c 'echo $$ > daemon; touch up; exec sleep 60' & until [ -e up ]; do :; done",
    );
    expect((await command.finished).end).toEqual({ kind: "exited", code: 0 });
    const pid = Number(readFileSync(join(folder, "daemon"), "utf8"));
    expect(isAlive(pid)).toBe(true);
    process.kill(pid, "SIGKILL");
  });

  it("a command has only its own pipe, and none of our files", async () => {
    const ours = openSync(join(folder, "ours"), "w");
    const commands = Array.from({ length: 2 * PIPE_BATCH }, () => exec(["ls", "-l", "/proc/self/fd"]));
    for (const command of commands) {
      const links = (await outputOf(command)).split("\n");
      expect(links.filter((link) => link.includes("carillon-pipes-"))).toHaveLength(2);
      expect(links.filter((link) => link.includes(folder) || link.includes("socket:"))).toEqual([]);
    }
    closeSync(ours);
  });

  it("a zombie that nobody reaps does not hold up a kill", async () => {
    const parent = "exec setsid sh -c 'echo $$ > parent; touch zombie-soon; exec sleep 60'";
    const command = sh(`(sleep 60 & ${parent}) & wait`, { killGraceMs: 60_000 });
    await created("zombie-soon");
    command.kill("cancelled");
    expect((await command.finished).end).toEqual({ kind: "killed", reason: "cancelled" });
    process.kill(Number(readFileSync(join(folder, "parent"), "utf8")), "SIGKILL");
  });

  it("no open files, zombies or folders after many commands", async () => {
    const pipes = mkdtempSync(join(folder, "pipes-"));
    vi.stubEnv("TMPDIR", pipes);
    const openFiles = () => readdirSync("/proc/self/fd").length;
    await sh("true").finished;
    const before = openFiles();
    const commands = Array.from({ length: 13 * PIPE_BATCH }, () => exec(["true"]));
    await Promise.all(commands.map((command) => command.finished));
    await exec(["no-such-binary"]).finished;
    // Whole batches of pipes, so that as many spare ones are open as before.
    for (let i = 2; i < PIPE_BATCH; i++) await exec([""]).finished;
    await sh("sleep 60 &").finished;
    expect(openFiles()).toBe(before);
    expect(commands.filter(({ pid }) => existsSync(`/proc/${pid}`))).toEqual([]);
    expect(readdirSync(pipes)).toEqual([]);
    vi.unstubAllEnvs();
  });
});
