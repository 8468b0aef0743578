/** Compiles the C program that starts processes as fast as this machine can, where there is a compiler. */
import { execFile } from "node:child_process";
import path from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

/** Measures starts per second of a command. */
export type Ceiling = (inFlight: number, seconds: number, command: readonly string[]) => Promise<number>;

/** Returns the way to measure, or why there is none. */
export async function compileCeiling(folder: string): Promise<Ceiling | { missing: string }> {
  const program = path.join(folder, "ceiling");
  const source = path.join(import.meta.dirname, "spawn-ceiling.c");
  try {
    await run("cc", ["-O2", "-o", program, source]);
  } catch (error) {
    const [reason] = (error as Error).message.split("\n");
    return { missing: `not measured: ${reason}` };
  }
  return async (inFlight, seconds, command) => {
    const { stdout } = await run(program, [`${inFlight}`, `${seconds * 1_000}`, ...command]);
    return Number(stdout);
  };
}
