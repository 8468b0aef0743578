/** Files that tell from outside which commands ran, and whether there were ever more at once than there may be. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

/**
 * A command line that does some work in one of `limit` places, and writes when it begins and ends, with N from its
 * environment. A place is a lock that the kernel gives back however the command dies; who finds none says so.
 */
export function witnessed(file: string, limit: number, work: string): string {
  const places = Array.from({ length: limit }, (_, n) => `take ${n}`).join(" || ");
  return [
    `take() { exec 9> ${file}.place$1; flock -n 9; }`,
    `${places} || echo "$N" >> ${file}.over`,
    `echo "start $N" >> ${file}; ${work}; echo "end $N" >> ${file}`,
  ].join("\n");
}

export interface Witness {
  /** Places that have been used. */
  places: number;
  /** Who found all places taken. */
  over: string[];
  /** Who has begun, in that order. */
  started: string[];
  /** Who has come to the end. */
  ended: string[];
}

/** Reads what commands have written so far. */
export async function readWitness(folder: string, file: string): Promise<Witness> {
  const lines = async (name: string) => {
    const text = await readFile(join(folder, name), "utf8").catch(() => "");
    return text.split("\n").filter((line) => line !== "");
  };
  const said = (await lines(file)).map((line) => line.split(" "));
  const who = (what: string) => said.flatMap(([is, name = ""]) => (is === what ? [name] : []));
  const places = (await readdir(folder)).filter((name) => name.startsWith(`${file}.place`)).length;
  return { places, over: await lines(`${file}.over`), started: who("start"), ended: who("end") };
}
