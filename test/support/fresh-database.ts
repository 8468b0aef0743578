/** Hands a test a Postgres database of its own. */
import { randomBytes } from "node:crypto";
import { inject } from "vitest";
import { createDatabase, dropDatabase } from "./postgres-server.ts";

/** A database that only its maker knows. What is not dropped goes at the end of the run. */
export interface TestDatabase extends AsyncDisposable {
  name: string;
  connectionString: string;
  /** Ends the sessions on it and removes it. */
  drop(): Promise<void>;
}

/** A database with Carillon's tables and pg-boss' schema, all empty. */
export function freshDatabase(): Promise<TestDatabase> {
  return copyOf(inject("postgres").template);
}

/** A database with nothing in it. */
export function emptyDatabase(): Promise<TestDatabase> {
  return copyOf("template0");
}

async function copyOf(template: string): Promise<TestDatabase> {
  const { server, prefix } = inject("postgres");
  const name = `${prefix}${randomBytes(6).toString("hex")}`;
  const connectionString = await createDatabase(server, name, template);
  const drop = (): Promise<void> => dropDatabase(server, name);
  return { name, connectionString, drop, [Symbol.asyncDispose]: drop };
}
