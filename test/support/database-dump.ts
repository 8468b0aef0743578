/** All rows of all tables of a database as text, as a backup would have them. */
import pg from "pg";

export async function dumpTables(connectionString: string): Promise<string> {
  const client = new pg.Client({ connectionString });
  await client.connect();
  try {
    const { rows } = await client.query<{ name: string }>(
      `SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables
       WHERE schemaname NOT IN ('pg_catalog', 'information_schema')`,
    );
    const parts: string[] = [];
    for (const { name } of rows) {
      // Bytes as they are, so that what is not encrypted can be read.
      const table = await client.query(`SELECT * FROM ${name}`);
      for (const row of table.rows) parts.push(`${name} ${Object.values(row).map(asText).join(" ")}`);
    }
    return parts.join("\n");
  } finally {
    await client.end();
  }
}

function asText(value: unknown): string {
  if (Buffer.isBuffer(value)) return value.toString("latin1");
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
