/** A file in which commands write when they begin and end: how many ran at once, and which ran at all. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";

/** A command line that writes `start N` and `end N` around some work, with N from its environment. */
export function witnessed(file: string, work: string): string {
  return `echo "start $N" >> ${file}; ${work}; echo "end $N" >> ${file}`;
}

export interface Witness {
  /** How many commands there were at most between their two lines. */
  mostAtOnce: number;
  /** Who has begun, in that order. */
  started: string[];
  ended: string[];
}

/** Reads what commands have written so far. */
export async function readWitness(folder: string, file: string): Promise<Witness> {
  const text = await readFile(join(folder, file), "utf8").catch(() => "");
  const witness: Witness = { mostAtOnce: 0, started: [], ended: [] };
  for (const line of text.split("\n")) {
    const [what, who = ""] = line.split(" ");
    if (what === "start") witness.started.push(who);
    if (what === "end") witness.ended.push(who);
    witness.mostAtOnce = Math.max(witness.mostAtOnce, witness.started.length - witness.ended.length);
  }
  return witness;
}
