/** A real Carillon process, as `npm start` runs it, that a test may kill. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type Client, createClient } from "./api-client.ts";

const MAIN = join(import.meta.dirname, "../../src/main.ts");
const CACHE = { NODE_COMPILE_CACHE: process.env["NODE_COMPILE_CACHE"] ?? "" };
const START_DEADLINE_MS = 30_000;

export interface ServiceProcess extends AsyncDisposable {
  child: ChildProcess;
  /** Empty without the role api. */
  url: string;
  /** The admin token. */
  token: string;
  client: Client;
  /** All that it printed so far. */
  output(): string;
  /** Sends a signal and waits for the end; answers the exit code, null after SIGKILL. */
  end(signal: NodeJS.Signals): Promise<number | null>;
}

/**
 * Starts the service and waits for its greeting; rejects with its output when it does not come.
 * @param onOutput called with all that it has printed so far, each time that it prints more
 */
export async function startProcess(
  environment: Record<string, string>,
  onOutput: (output: string) => void = () => undefined,
): Promise<ServiceProcess> {
  const child = spawn(process.execPath, [MAIN], {
    // With the cache of the test suite the service compiles nothing, although its DATA_DIR is new.
    env: { ...CACHE, PATH: process.env["PATH"], LOG_LEVEL: "warn", PORT: "0", ...environment },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  const greeted = Promise.withResolvers<string>();
  const read = (chunk: Buffer) => {
    output += chunk.toString();
    onOutput(output);
    const greeting = /^Carillon .* (?:listens on (\S+)|runs as )/m.exec(output);
    if (greeting !== null) greeted.resolve(greeting[1] ?? "");
  };
  child.stdout?.on("data", read);
  child.stderr?.on("data", read);
  child.on("exit", (code) => greeted.reject(new Error(`ended with ${code}: ${output}`)));
  const deadline = setTimeout(() => greeted.reject(new Error(`no greeting: ${output}`)), START_DEADLINE_MS);
  const end = async (signal: NodeJS.Signals) => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill(signal);
      await once(child, "exit");
    }
    return child.exitCode;
  };
  try {
    const url = await greeted.promise;
    const file = await readFile(join(String(environment["DATA_DIR"]), "admin-token"), "utf8");
    const token = file.trim();
    return {
      child,
      url,
      token,
      client: createClient(url, token),
      output: () => output,
      end,
      [Symbol.asyncDispose]: async () => void (await end("SIGKILL")),
    };
  } catch (error) {
    await end("SIGKILL");
    throw error;
  } finally {
    clearTimeout(deadline);
  }
}
