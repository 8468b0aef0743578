/** The database: the Prisma client, transactions with it, and transactions of plain SQL for the hot path. */
import { PrismaPg } from "@prisma/adapter-pg";
import pg from "pg";
import { isConflict } from "./failures.ts";
import { type Prisma, PrismaClient } from "./generated/client.ts";
import { pendingMigrations } from "./migrations.ts";
import { sessionConfig } from "./session.ts";
import { openSqlPool, type SqlTx } from "./sql.ts";

export { CommitUnknown, type SqlTx } from "./sql.ts";

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
  /**
   * Like `transaction`, but for the hot path: plain SQL, pipelined, with statements that Postgres plans once. Throws
   * CommitUnknown when the connection breaks during the commit.
   * @param work `commitNow` as in `SqlPool`
   */
  sqlTransaction<T>(work: (tx: SqlTx, commitNow: () => void) => Promise<T>): Promise<T>;
  /** Runs reads of plain SQL on one connection, pipelined like those of `sqlTransaction`. */
  sqlRead<T>(work: (tx: SqlTx) => Promise<T>): Promise<T>;
  /** Calls `listener` after each commit with the notes that {@link noteForCommit} left in its transaction. */
  onCommit(listener: (notes: readonly unknown[]) => void): void;
  /** The time of the database's clock, which decides what is due. */
  now(): Promise<Date>;
  /** The names of this release's migrations that the database lacks. */
  pendingMigrations(): Promise<string[]>;
  close(): Promise<void>;
}

const CONFLICT_TRIES = 4;
/** Connections for plain SQL: triggers, starts and settlements use one at a time each, and the rest is for reads. */
const SQL_CONNECTIONS = 6;

/** What the listeners of a transaction's commit will get. */
const notesOf = new WeakMap<SqlTx, unknown[]>();

/** Leaves a note that the listeners of `onCommit` get if, and only if, the transaction commits. */
export function noteForCommit(tx: SqlTx, note: unknown): void {
  const notes = notesOf.get(tx);
  if (notes === undefined) throw new Error("a note for a commit needs a transaction");
  notes.push(note);
}

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
  const sqlPool = openSqlPool(sessionConfig(connectionString, silenceMs), SQL_CONNECTIONS);
  const listeners: ((notes: readonly unknown[]) => void)[] = [];
  /** Runs a transaction, and passes its notes on after the commit. */
  const noting = async <Client extends SqlTx, T>(
    run: (inside: (tx: Client) => Promise<T>) => Promise<T>,
    work: (tx: Client) => Promise<T>,
  ): Promise<T> => {
    const notes: unknown[] = [];
    const result = await run((tx) => {
      notesOf.set(tx, notes);
      return work(tx);
    });
    // Later: an error of a listener must not look like a failed transaction.
    if (notes.length > 0) queueMicrotask(() => listeners.forEach((listener) => void listener(notes)));
    return result;
  };
  const transaction = <T>(work: (tx: Tx) => Promise<T>): Promise<T> =>
    retryConflicts(() =>
      noting((inside) => prisma.$transaction(inside, { maxWait: 15_000, timeout: 30_000 }), work),
    );
  let turn: Promise<unknown> = Promise.resolve();
  return {
    prisma,
    transaction,
    transactionInTurn(work) {
      const result = turn.then(() => transaction(work));
      turn = result.catch(() => undefined);
      return result;
    },
    sqlTransaction: (work) =>
      retryConflicts(() => {
        let commit: () => void = () => undefined;
        const run = <T>(inside: (tx: SqlTx) => Promise<T>) =>
          sqlPool.transaction((tx, commitNow) => {
            commit = commitNow;
            return inside(tx);
          });
        return noting(run, (tx: SqlTx) => work(tx, commit));
      }),
    sqlRead: sqlPool.read,
    onCommit: (listener) => void listeners.push(listener),
    now: () => databaseNow(prisma),
    pendingMigrations: () => pendingMigrations(pool),
    close: async () => void (await Promise.all([prisma.$disconnect(), sqlPool.close()])),
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
export async function databaseNow(tx: SqlTx): Promise<Date> {
  const [row] = await tx.$queryRaw<{ now: Date }[]>`SELECT now() AS now`;
  if (row === undefined) throw new Error("the database returned no time");
  return row.now;
}
