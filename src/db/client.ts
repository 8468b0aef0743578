/** The Prisma client and the one way to run a transaction. */
import { PrismaPg } from "@prisma/adapter-pg";
import pg from "pg";
import { type Prisma, PrismaClient } from "./generated/client.ts";
import { pendingMigrations } from "./migrations.ts";
import { SESSION_OPTIONS } from "./session.ts";

/** What a transaction hands to its work: inside, nothing else may be awaited. */
export type Tx = Prisma.TransactionClient;

export interface Database {
  prisma: PrismaClient;
  /** Runs `work` in one transaction: all of it is committed, or nothing when it throws. */
  transaction<T>(work: (tx: Tx) => Promise<T>): Promise<T>;
  /** The database's clock, which decides what is due. */
  now(): Promise<Date>;
  /** Migrations of this release that the database lacks. */
  pendingMigrations(): Promise<string[]>;
  close(): Promise<void>;
}

/** Connects lazily; the first query fails when nothing answers. */
export function openDatabase(connectionString: string, maxConnections = 10): Database {
  const pool = new pg.Pool({ connectionString, max: maxConnections, options: SESSION_OPTIONS });
  // An idle connection that breaks is replaced by the next query; without a listener it would end the process.
  pool.on("error", () => undefined);
  const prisma = new PrismaClient({ adapter: new PrismaPg(pool, { disposeExternalPool: true }) });
  return {
    prisma,
    transaction: (work) => prisma.$transaction(work, { maxWait: 15_000, timeout: 30_000 }),
    now: () => databaseNow(prisma),
    pendingMigrations: () => pendingMigrations(pool),
    close: () => prisma.$disconnect(),
  };
}

/** The database's clock; the same instant throughout one transaction. */
export async function databaseNow(tx: Tx): Promise<Date> {
  const [row] = await tx.$queryRaw<{ now: Date }[]>`SELECT now() AS now`;
  if (row === undefined) throw new Error("the database did not tell its time");
  return row.now;
}
