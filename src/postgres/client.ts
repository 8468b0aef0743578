/** The Prisma client and the one way to run a transaction. */

import { PrismaPg } from "@prisma/adapter-pg";
import pg from "pg";
import { isConflict } from "./failures.ts";
import { type Prisma, PrismaClient } from "./generated/client.ts";
import { pendingMigrations } from "./migrations.ts";
import { sessionConfig } from "./session.ts";

/** The client inside a transaction. Work in a transaction awaits nothing but queries on it. */
export type Tx = Prisma.TransactionClient;

export interface Database {
  prisma: PrismaClient;
  /**
   * Runs `work` in one transaction and rolls back when `work` throws. `work` runs again after a deadlock or a
   * serialization conflict, up to four times in all.
   */
  transaction<T>(work: (tx: Tx) => Promise<T>): Promise<T>;
  /**
   * Like `transaction`, but calls within this process run one after another. For work that waits for one shared lock:
   * a call that waits for its turn holds no connection.
   */
  transactionInTurn<T>(work: (tx: Tx) => Promise<T>): Promise<T>;
  /** The time of the database's clock, which decides what is due. */
  now(): Promise<Date>;
  /** The names of this release's migrations that the database lacks. */
  pendingMigrations(): Promise<string[]>;
  close(): Promise<void>;
}

const CONFLICT_TRIES = 4;

/**
 * Opens a pool of connections. Connects with the first query, which fails when the database does not answer.
 * @param options `silenceMs` as in `sessionConfig`
 */
export function openDatabase(
  connectionString: string,
  { maxConnections = 10, silenceMs }: { maxConnections?: number; silenceMs?: number } = {},
): Database {
  const pool = new pg.Pool({ ...sessionConfig(connectionString, silenceMs), max: maxConnections });
  // The pool replaces a broken idle connection itself. Without a listener its error would end the process.
  pool.on("error", () => undefined);
  const prisma = new PrismaClient({ adapter: new PrismaPg(pool, { disposeExternalPool: true }) });
  const transaction = <T>(work: (tx: Tx) => Promise<T>): Promise<T> =>
    retryConflicts(() => prisma.$transaction(work, { maxWait: 15_000, timeout: 30_000 }));
  let turn: Promise<unknown> = Promise.resolve();
  return {
    prisma,
    transaction,
    transactionInTurn(work) {
      const result = turn.then(() => transaction(work));
      turn = result.catch(() => undefined);
      return result;
    },
    now: () => databaseNow(prisma),
    pendingMigrations: () => pendingMigrations(pool),
    close: () => prisma.$disconnect(),
  };
}

/** Repeats a transaction after a conflict. This is safe because its work does nothing but queries. */
async function retryConflicts<T>(attempt: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await attempt();
    } catch (error) {
      if (tries === CONFLICT_TRIES || !isConflict(error)) throw error;
    }
  }
}

/** Returns the time of the database's clock. It stays the same throughout one transaction. */
export async function databaseNow(tx: Tx): Promise<Date> {
  const [row] = await tx.$queryRaw<{ now: Date }[]>`SELECT now() AS now`;
  if (row === undefined) throw new Error("the database returned no time");
  return row.now;
}
