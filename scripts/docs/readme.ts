/** Runs the README's commands and compares their output with the output that the README shows. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";

const ROOT = path.join(import.meta.dirname, "..", "..");
const DATA = path.join(ROOT, "data");
/** Lines with this ending are not run. */
const LEFT_OUT = "# CI runs this by itself";
/** The port that the README shows. The service here listens on another one. */
const SHOWN_PORT = 8081;
/** The first start installs everything. */
const START_MS = 300_000;
const STOP_MS = 60_000;
const UUID = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/;
const TIME = /^\d{4}-\d\d-\d\dT[\d:.]+Z$/;

/** Commands, and what the README shows of their output. */
interface Block {
  line: number;
  commands: string;
  /** text: `...` stands for anything. json: some fields of the object that is printed. */
  kind: "text" | "json";
  shown: string;
}

if (existsSync(DATA)) throw new Error(`Move ${DATA} away: the README begins with an empty history`);
const [first, ...others] = readBlocks();
if (first?.commands !== "npm start") throw new Error("the first command of the README is not npm start");
const env = { ...process.env, PORT: String(await freePort()), LOG_LEVEL: "warn" };
const service = spawn("npm", ["start"], {
  cwd: ROOT,
  env,
  // A process group of its own, so that one signal stops npm, its shell and the service.
  detached: true,
  stdio: ["ignore", "pipe", "inherit"],
});
process.on("exit", () => endService("SIGTERM"));
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(1));
try {
  await greeting(service, first);
  const output = mkdtempSync(path.join(tmpdir(), "carillon-readme-"));
  try {
    await runInOneShell(others, output);
  } finally {
    rmSync(output, { recursive: true });
  }
} finally {
  await stop(service);
  rmSync(DATA, { recursive: true, force: true });
}
console.log("The README's commands do what it says.");

function readBlocks(): Block[] {
  const readme = readFileSync(path.join(ROOT, "README.md"), "utf8");
  // Between commands and their output there may be a paragraph.
  const fences = /^```sh\n(.*?)^```$(?:\n\n(?:^[^`#\n][^\n]*\n\n)?^```(text|json)\n(.*?)^```$)?/gms;
  return [...readme.matchAll(fences)].map(({ 1: commands = "", 2: kind, 3: shown = "", index }) => ({
    line: readme.slice(0, index).split("\n").length,
    commands: commands
      .split("\n")
      .filter((line) => !line.endsWith(LEFT_OUT))
      .join("\n")
      .trim(),
    kind: kind === "json" ? "json" : "text",
    shown,
  }));
}

/** Waits until the service has printed the greeting that the README shows. */
async function greeting({ stdout }: ChildProcess, block: Block): Promise<void> {
  const greeted = Promise.withResolvers<void>();
  let printed = "";
  const giveUp = (): void => greeted.reject(new Error(`npm start printed no greeting, but: ${printed}`));
  stdout?.on("data", (chunk) => {
    printed += chunk;
    process.stdout.write(chunk);
    if (missingPart(block, printed) === undefined) greeted.resolve();
  });
  stdout?.once("end", giveUp);
  const deadline = setTimeout(giveUp, START_MS);
  await greeted.promise;
  clearTimeout(deadline);
}

/** Runs the commands in one shell, as in a reader's second terminal, and stops at the first one that fails. */
async function runInOneShell(blocks: readonly Block[], output: string): Promise<void> {
  const file = (block: Block): string => path.join(output, String(block.line));
  const script = blocks.map((block) => `{\n${block.commands || ":"}\n} > "$0/${block.line}" 2>&1`);
  const shell = spawn("bash", ["-euo", "pipefail", "-c", script.join("\n"), output], { cwd: ROOT, env });
  const [code] = await once(shell, "exit");
  for (const block of blocks.filter((one) => existsSync(file(one)))) {
    const printed = readFileSync(file(block), "utf8");
    console.log(`\nREADME.md:${block.line}\n${block.commands}\n${printed}`);
    const missing = missingPart(block, printed);
    if (missing !== undefined)
      throw new Error(`README.md:${block.line} shows ${missing}, which is not there`);
  }
  if (code !== 0) throw new Error(`the last of these commands failed, with exit code ${code}`);
}

/** The first part of what is shown that the output lacks. */
function missingPart({ kind, shown }: Block, printed: string): string | undefined {
  return kind === "json" ? missingField(JSON.parse(shown), parsed(printed)) : missingText(shown, printed);
}

function parsed(printed: string): unknown {
  try {
    return JSON.parse(printed);
  } catch {
    return undefined;
  }
}

/** The path of the first field that differs; an id stands for any id, and a time for any time. */
function missingField(shown: unknown, actual: unknown, at = "its object"): string | undefined {
  if (typeof shown !== "object" || shown === null) {
    const isAlike = [UUID, TIME].some((form) => form.test(String(shown)) && form.test(String(actual)));
    return shown === actual || isAlike ? undefined : `${at} = ${JSON.stringify(shown)}`;
  }
  if (typeof actual !== "object" || actual === null) return at;
  if (Array.isArray(shown) && shown.length !== (actual as unknown[]).length) return at;
  for (const [key, value] of Object.entries(shown)) {
    const missing = missingField(value, (actual as Record<string, unknown>)[key], `${at}.${key}`);
    if (missing !== undefined) return missing;
  }
  return undefined;
}

/** The first part of a text that the output lacks, in this order; white space does not count. */
function missingText(shown: string, printed: string): string | undefined {
  const squeeze = (text: string): string => text.replaceAll(/\s/g, "");
  const actual = squeeze(printed).replaceAll(`:${env.PORT}`, `:${SHOWN_PORT}`);
  let at = 0;
  return squeeze(shown)
    .split("...")
    .find((part) => {
      const found = actual.indexOf(part, at);
      at = found + part.length;
      return found < 0;
    });
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.stdout?.closed) return;
  const closed = once(child, "close");
  endService("SIGTERM");
  const deadline = setTimeout(() => endService("SIGKILL"), STOP_MS);
  await closed;
  clearTimeout(deadline);
}

function endService(signal: NodeJS.Signals): void {
  if (service.pid === undefined || service.stdout.closed) return;
  process.kill(-service.pid, signal);
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}
