/** Tells a database that is away for a moment from a query that is wrong. */

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
/** Postgres' classes of the same: connection, authorization, catalog, resources, operator intervention; and Node's for sockets. */
const OTHER_CODES = /^(08|28|3D|53|57P)|^(ECONNREFUSED|ECONNRESET|ENOENT|ENOTFOUND|EPIPE|ETIMEDOUT|EAI_AGAIN)$/;

/** Whether an error, or what caused it, means that the database is away. */
export function isDatabaseAway(error: unknown): boolean {
  for (let cause = error, depth = 0; cause !== null && typeof cause === "object" && depth < 6; depth++) {
    const { code, originalCode, meta } = cause as { code?: unknown; originalCode?: unknown; meta?: unknown };
    if (PRISMA_CODES.has(String(code))) return true;
    if (OTHER_CODES.test(String(code)) || OTHER_CODES.test(String(originalCode))) return true;
    cause =
      (meta as { driverAdapterError?: unknown } | undefined)?.driverAdapterError ?? (cause as Error).cause;
  }
  return false;
}
