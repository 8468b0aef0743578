/** Tests of the time limits of every database session. */
import pg from "pg";
import { expect, it } from "vitest";
import { openDatabase } from "../../src/postgres/client.ts";
import { isDatabaseAway } from "../../src/postgres/failures.ts";
import { migrationConfig, sessionConfig, withReadableUrl } from "../../src/postgres/session.ts";
import { startCutProxy } from "../support/cut-proxy.ts";
import { emptyDatabase } from "../support/fresh-database.ts";

async function settings(config: pg.ClientConfig): Promise<Record<string, string>> {
  const client = new pg.Client(config);
  await client.connect();
  const { rows } = await client.query(
    "SELECT name, setting FROM pg_settings WHERE name ~ '_timeout$' OR name = 'TimeZone'",
  );
  await client.end();
  return Object.fromEntries(rows.map(({ name, setting }) => [name, setting]));
}

it("limits statements, locks and idle transactions, except in a migration", async () => {
  await using database = await emptyDatabase();
  const { connectionString } = database;
  expect(await settings(sessionConfig(connectionString))).toMatchObject({
    TimeZone: "UTC",
    idle_in_transaction_session_timeout: "10000",
    lock_timeout: "10000",
    statement_timeout: "12000",
  });
  expect(await settings(migrationConfig(connectionString))).toMatchObject({
    TimeZone: "UTC",
    idle_in_transaction_session_timeout: "0",
    lock_timeout: "0",
    statement_timeout: "0",
  });
});

it("replaces connections that the network silently dropped, also inside a transaction", async () => {
  await using database = await emptyDatabase();
  await using proxy = await startCutProxy(database.connectionString);
  const db = openDatabase(proxy.connectionString, { maxConnections: 2, silenceMs: 300 });
  const inside = Promise.withResolvers<void>();
  const forgotten = Promise.withResolvers<void>();
  const broken = db.transaction(async (tx) => {
    await tx.$queryRaw`SELECT 1`;
    inside.resolve();
    await forgotten.promise;
    await tx.$queryRaw`SELECT 2`;
  });
  await inside.promise;
  await db.now();
  proxy.forget();
  forgotten.resolve();
  const refusals = await Promise.allSettled([broken, db.now()]);
  for (const refusal of refusals) {
    expect(refusal.status).toBe("rejected");
    expect(isDatabaseAway((refusal as PromiseRejectedResult).reason)).toBe(true);
  }
  // The pool holds no dead connection.
  const transactions = Array.from({ length: 4 }, () => db.transaction((tx) => tx.$queryRaw`SELECT 1 AS one`));
  expect(await Promise.all(transactions)).toEqual(Array(4).fill([{ one: 1 }]));
  await db.close();
});

it("reports an unusable URL with the name of its variable and without the password", () => {
  const url = "postgres://u:hush@h/db?sslrootcert=/nowhere/ca.pem";
  const read = () => withReadableUrl(() => new pg.Client(sessionConfig(url)));
  expect(read).toThrow(/^DATABASE_URL cannot be used: .*\/nowhere\/ca\.pem/);
  expect(read).not.toThrow(/hush/);
});
