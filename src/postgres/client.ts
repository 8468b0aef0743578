/** The Prisma client and the one way to run a transaction. */

import { PrismaPg } from "@prisma/adapter-pg";
import pg from "pg";
import { isConflict } from "./failures.ts";
import { type Prisma, PrismaClient } from "./generated/client.ts";
import { pendingMigrations } from "./migrations.ts";
import { sessionConfig } from "./session.ts";

/** What a transaction hands to its work: inside, nothing else may be awaited. */
export type Tx = Prisma.TransactionClient;

export interface Database {
  prisma: PrismaClient;
  /** Runs `work` in one transaction: all of it is committed, or nothing when it throws. */
  transaction<T>(work: (tx: Tx) => Promise<T>): Promise<T>;
  /**
   * The same for work that waits for one lock with all others of its kind: within this process they take turns, so
   * that those that wait hold no connection.
   */
  transactionInTurn<T>(work: (tx: Tx) => Promise<T>): Promise<T>;
  /** The database's clock, which decides what is due. */
  now(): Promise<Date>;
  /** Migrations of this release that the database lacks. */
  pendingMigrations(): Promise<string[]>;
  close(): Promise<void>;
}

const CONFLICT_TRIES = 4;

/**
 * Connects lazily; the first query fails when nothing answers.
 * @param options `silenceMs` as in `sessionConfig`
 */
export function openDatabase(
  connectionString: string,
  { maxConnections = 10, silenceMs }: { maxConnections?: number; silenceMs?: number } = {},
): Database {
  const pool = new pg.Pool({ ...sessionConfig(connectionString, silenceMs), max: maxConnections });
  // An idle connection that breaks is replaced by the next query; without a listener it would end the process.
  pool.on("error", () => undefined);
  const prisma = new PrismaClient({ adapter: new PrismaPg(pool, { disposeExternalPool: true }) });
  const transaction = <T>(work: (tx: Tx) => Promise<T>): Promise<T> =>
    retryConflicts(() => prisma.$transaction(work, { maxWait: 15_000, timeout: 30_000 }));
  let turn: Promise<unknown> = Promise.resolve();
  return {
    prisma,
    transaction,
    transactionInTurn(work) {
      const mine = turn.then(() => transaction(work));
      turn = mine.catch(() => undefined);
      return mine;
    },
    now: () => databaseNow(prisma),
    pendingMigrations: () => pendingMigrations(pool),
    close: () => prisma.$disconnect(),
  };
}

/** Work in a transaction is database work alone, so all of it can be done again. */
async function retryConflicts<T>(attempt: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await attempt();
    } catch (error) {
      if (tries === CONFLICT_TRIES || !isConflict(error)) throw error;
    }
  }
}

/** The database's clock; the same instant throughout one transaction. */
export async function databaseNow(tx: Tx): Promise<Date> {
  const [row] = await tx.$queryRaw<{ now: Date }[]>`SELECT now() AS now`;
  if (row === undefined) throw new Error("the database did not tell its time");
  return row.now;
}
