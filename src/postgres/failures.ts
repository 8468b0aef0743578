/** Tells failures that pass, a database that is away or transactions in each other's way, from wrong queries. */

/** Prisma's codes for a database that cannot be reached, lets nobody in, breaks off or has no connection left. */
const PRISMA_CODES = new Set([
  "P1000",
  "P1001",
  "P1002",
  "P1003",
  "P1008",
  "P1011",
  "P1017",
  "P2024",
  "P2028",
  "P2037",
]);
/**
 * Postgres' classes of the same: connection, authorization, catalog, resources, operator intervention, and the limits of
 * session.ts (25P03 idle in a transaction, 55P03 lock, 57014 statement); and Node's for sockets.
 */
const OTHER_CODES =
  /^(08|28|3D|53|57P|25P03|55P03|57014)|^(ECONNREFUSED|ECONNRESET|ENOENT|ENOTFOUND|EPIPE|ETIMEDOUT|EAI_AGAIN)$/;

/** Prisma's code for a deadlock or a conflict, and Postgres' own two. */
const CONFLICT_CODES = new Set(["P2034", "40P01", "40001"]);

/** What the driver says, without a code, when no connection became free or could be made in time, or one broke off. */
const DRIVER_FAILURES =
  /timeout exceeded when trying to connect|Connection terminated|connection error and is not queryable/;

/** Whether an error, or what caused it, means that the database is away or has no connection for us. */
export function isDatabaseAway(error: unknown): boolean {
  if (error instanceof Error && DRIVER_FAILURES.test(error.message)) return true;
  return codesOf(error).some((code) => PRISMA_CODES.has(code) || OTHER_CODES.test(code));
}

/** Whether Postgres ended a transaction because of another one: done again, it may go through. */
export function isConflict(error: unknown): boolean {
  return codesOf(error).some((code) => CONFLICT_CODES.has(code));
}

/** The codes of an error and of its causes. */
function codesOf(error: unknown): string[] {
  const codes: string[] = [];
  for (let cause = error, depth = 0; cause !== null && typeof cause === "object" && depth < 6; depth++) {
    const { code, originalCode, meta } = cause as { code?: unknown; originalCode?: unknown; meta?: unknown };
    codes.push(String(code), String(originalCode));
    cause =
      (meta as { driverAdapterError?: unknown } | undefined)?.driverAdapterError ?? (cause as Error).cause;
  }
  return codes;
}
