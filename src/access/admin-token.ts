/** The admin token: given by the environment, or made at the first start and kept in a file. */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { OperatorError } from "../errors.ts";
import { newToken } from "./tokens.ts";

export interface AdminToken {
  token: string;
  /** Where it is kept; undefined when the environment gave it. */
  file: string | undefined;
}

/** Reads the token, or makes one that only our own user can read. */
export async function adminToken(given: string | undefined, dataDir: string): Promise<AdminToken> {
  if (given !== undefined) return { token: given, file: undefined };
  const file = join(dataDir, "admin-token");
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  try {
    // Fails when the file is there: two processes that start at once agree on one token.
    await writeFile(file, `${newToken()}\n`, { mode: 0o600, flag: "wx" });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
  const token = (await readFile(file, "utf8")).trim();
  if (token === "")
    throw new OperatorError(`${file} is empty: delete it, and the next start makes a new token`);
  return { token, file };
}
