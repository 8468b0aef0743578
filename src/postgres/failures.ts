/** Recognises transient database errors: the database is away or too busy, or two transactions conflicted. */

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
  "P2037",
]);
/**
 * Postgres' code classes for the same (connection, authorization, catalog, resources, operator intervention), those of
 * a server that is not yet or no longer the primary (25006 read-only, 55000 accepts no connections), and Node's socket
 * errors.
 */
const OTHER_AWAY_CODES =
  /^(08|28|3D|53|57P|25006|55000)|^(ECONNREFUSED|ECONNRESET|ENOENT|ENOTFOUND|EPIPE|ETIMEDOUT|EAI_AGAIN)$/;

/** The limits set in session.ts: idle in a transaction, lock, statement; and Prisma's for a transaction. */
const TIMEOUT_CODES = new Set(["25P03", "55P03", "57014", "P2028"]);

/** Prisma's code for a deadlock or write conflict, and Postgres' two codes for it. */
const CONFLICT_CODES = new Set(["P2034", "40P01", "40001"]);

/** Messages of errors that have no code: no connection or answer in time, or a broken connection. */
const DRIVER_MESSAGES =
  /timeout exceeded when trying to connect|Query read timeout|Connection terminated|connection error|Client was closed|Server has closed the connection|broke during a commit/;

/** Whether an error, or one of its causes, means that the database is unreachable or has no free connection. */
export function isDatabaseAway(error: unknown): boolean {
  const causes = causesOf(error);
  return (
    causes.some(({ message }) => DRIVER_MESSAGES.test(String(message))) ||
    codesOf(causes).some((code) => PRISMA_AWAY_CODES.has(code) || OTHER_AWAY_CODES.test(code))
  );
}

/** Whether a statement or a transaction took longer than it may, or waited too long for a lock. */
export function isTimeout(error: unknown): boolean {
  return codesOf(causesOf(error)).some((code) => TIMEOUT_CODES.has(code));
}

/** Whether the same call may succeed a little later. */
export function isTransient(error: unknown): boolean {
  return isDatabaseAway(error) || isTimeout(error);
}

/** Whether Postgres aborted a transaction because it conflicted with another one, so that a retry may succeed. */
export function isConflict(error: unknown): boolean {
  return codesOf(causesOf(error)).some((code) => CONFLICT_CODES.has(code));
}

/** Rows have changed between the statements of a transaction, so that it must be done again. */
export class RowsChanged extends Error {
  override readonly name = "RowsChanged";
  /** The code of a serialization failure, which is the same situation. */
  readonly code = "40001";
}

/** What the errors of Postgres, its driver and Prisma have. */
interface Failure {
  code?: unknown;
  /** Postgres' code in an error of Prisma's adapter. */
  originalCode?: unknown;
  message?: unknown;
  originalMessage?: unknown;
  meta?: { driverAdapterError?: unknown };
  cause?: unknown;
}

/** An error and its causes. A raw query of Prisma fails with an error that has its cause in `meta`. */
function causesOf(error: unknown): Failure[] {
  const causes: Failure[] = [];
  let next: unknown = error;
  while (next !== null && typeof next === "object" && causes.length < MAX_CAUSES) {
    const failure: Failure = next;
    causes.push(failure, { message: failure.originalMessage });
    next = failure.meta?.driverAdapterError ?? failure.cause;
  }
  return causes;
}

/** Errors have at most four causes; the bound is against circles. */
const MAX_CAUSES = 12;

function codesOf(causes: readonly Failure[]): string[] {
  return causes.flatMap(({ code, originalCode }) => [String(code), String(originalCode)]);
}
