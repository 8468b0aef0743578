/** Gives one database a clock that a test may step, without touching the clock of the server. */
import { execute } from "./postgres-server.ts";

/** Prepares a database; sessions that are opened later read its clock. */
export async function addSteppingClock(connectionString: string): Promise<void> {
  const { pathname } = new URL(connectionString);
  await execute(
    connectionString,
    `CREATE SCHEMA clock;
     CREATE TABLE clock.step (by interval NOT NULL);
     INSERT INTO clock.step VALUES ('0');
     CREATE FUNCTION clock.now() RETURNS timestamptz LANGUAGE sql STABLE
       AS 'SELECT pg_catalog.now() + (SELECT by FROM clock.step)';
     ALTER DATABASE "${pathname.slice(1)}" SET search_path = public, clock, pg_catalog;`,
  );
}

/** Steps the clock; pg-boss must have created its schema by now. */
export async function stepClock(connectionString: string, by: string): Promise<void> {
  await execute(
    connectionString,
    `CREATE OR REPLACE FUNCTION pgboss.job_now() RETURNS timestamptz LANGUAGE sql STABLE AS 'SELECT clock.now()';
     UPDATE clock.step SET by = '${by}'`,
  );
}
