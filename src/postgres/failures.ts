/** Recognises transient database errors: the database is unreachable, or two transactions conflicted. */

/** Prisma's codes: unreachable, login refused, connection broken, or no free connection. */
const PRISMA_AWAY_CODES = new Set([
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
 * Postgres' code classes for the same (connection, authorization, catalog, resources, operator intervention), the
 * timeouts set in session.ts (25P03 idle in a transaction, 55P03 lock, 57014 statement), and Node's socket errors.
 */
const OTHER_AWAY_CODES =
  /^(08|28|3D|53|57P|25P03|55P03|57014)|^(ECONNREFUSED|ECONNRESET|ENOENT|ENOTFOUND|EPIPE|ETIMEDOUT|EAI_AGAIN)$/;

/** Prisma's code for a deadlock or write conflict, and Postgres' two codes for it. */
const CONFLICT_CODES = new Set(["P2034", "40P01", "40001"]);

/** Messages of errors that have no code: no connection in time, or a broken connection. */
const DRIVER_MESSAGES =
  /timeout exceeded when trying to connect|Connection terminated|connection error and is not queryable|broke during a commit/;

/** Whether an error, or one of its causes, means that the database is unreachable or has no free connection. */
export function isDatabaseAway(error: unknown): boolean {
  if (error instanceof Error && DRIVER_MESSAGES.test(error.message)) return true;
  return codesOf(error).some((code) => PRISMA_AWAY_CODES.has(code) || OTHER_AWAY_CODES.test(code));
}

/** Whether Postgres aborted a transaction because it conflicted with another one, so that a retry may succeed. */
export function isConflict(error: unknown): boolean {
  return codesOf(error).some((code) => CONFLICT_CODES.has(code));
}

/** Whether a statement has waited too long for a lock, or has taken too long itself. */
export function isStatementTimeout(error: unknown): boolean {
  return codesOf(error).some((code) => code === "55P03" || code === "57014");
}

/** Rows have changed between the statements of a transaction, so that it must be done again. */
export class RowsChanged extends Error {
  override readonly name = "RowsChanged";
  /** The code of a serialization failure, which is the same situation. */
  readonly code = "40001";
}

/** Returns the codes of an error and of its causes. */
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
