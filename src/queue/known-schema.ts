/** Refuses a database whose queue tables belong to a newer release. */
import pg from "pg";
import pgBoss from "pg-boss/package.json" with { type: "json" };
import { OperatorError } from "../errors.ts";
import type { SessionConfig } from "../postgres/session.ts";
import { SCHEMA } from "./messages.ts";

/**
 * Throws OperatorError when a newer release has migrated the tables of pg-boss. pg-boss itself would go on, and write
 * with statements that are too old for them.
 */
export async function requireKnownSchema(session: SessionConfig): Promise<void> {
  const client = new pg.Client(session);
  // A lost connection rejects the current query. Without a listener it would also end the process.
  client.on("error", () => undefined);
  await client.connect();
  try {
    const table = `${SCHEMA}.version`;
    const found = await client.query("SELECT FROM (SELECT to_regclass($1) AS oid) t WHERE oid IS NOT NULL", [
      table,
    ]);
    if (found.rowCount === 0) return;
    const { rows } = await client.query<{ version: number }>(`SELECT version FROM ${table}`);
    const { version = 0 } = rows[0] ?? {};
    if (version <= pgBoss.pgboss.schema) return;
    throw new OperatorError(
      `The queue's schema ${SCHEMA} in the database has version ${version}, and this release knows versions up to ` +
        `${pgBoss.pgboss.schema}: a newer release has used the database. Start the newer release, or give this one ` +
        "its own database.",
    );
  } finally {
    await client.end();
  }
}
