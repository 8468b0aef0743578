/** Gives the whole test run one Postgres server and a template of a fresh Carillon database. */
import { randomBytes } from "node:crypto";
import { PgBoss } from "pg-boss";
import type { TestProject } from "vitest/node";
import { applyMigrations } from "../../src/postgres/migrations.ts";
import { createDatabase, dropDatabase, execute, openServer } from "./postgres-server.ts";

declare module "vitest" {
  interface ProvidedContext {
    postgres: {
      /** The connection string of the server's own database. */
      server: string;
      /** The name of the database to copy. */
      template: string;
      /** What the names of this run's databases begin with. */
      prefix: string;
    };
  }
}

/** Runs before the first test; the function that it returns runs after the last. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const server = await openServer();
  // Two runs may share a server.
  const prefix = `carillon_test_${randomBytes(4).toString("hex")}_`;
  const template = `${prefix}template`;
  const teardown = async (): Promise<void> => {
    const databases = await execute(
      server.connectionString,
      `SELECT datname FROM pg_database WHERE starts_with(datname, '${prefix}')`,
    );
    for (const { datname } of databases) await dropDatabase(server.connectionString, String(datname));
    await server.stop();
  };
  try {
    await makeTemplate(server.connectionString, template);
  } catch (error) {
    await teardown();
    throw error;
  }
  project.provide("postgres", { server: server.connectionString, template, prefix });
  return teardown;
}

async function makeTemplate(server: string, template: string): Promise<void> {
  const connectionString = await createDatabase(server, template);
  await applyMigrations(connectionString);
  const boss = new PgBoss({ connectionString, supervise: false, schedule: false });
  await boss.start();
  await boss.stop();
  // Postgres copies no database that somebody is connected to.
  await execute(server, `ALTER DATABASE "${template}" ALLOW_CONNECTIONS false`);
}
