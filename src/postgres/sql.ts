/** Transactions of plain SQL for the hot path: statements are pipelined, and Postgres plans each only once. */
import { createHash } from "node:crypto";
import type { Socket } from "node:net";
import pg from "pg";
import type { SessionConfig } from "./session.ts";

/**
 * Runs SQL inside a transaction. Prisma's transaction client is one, too, so a function that takes an `SqlTx` serves
 * both. Statements that are started without waiting for each other travel together, but run in their order.
 */
export interface SqlTx {
  $queryRaw<T = unknown>(strings: TemplateStringsArray, ...values: unknown[]): Promise<T>;
  $executeRaw(strings: TemplateStringsArray, ...values: unknown[]): Promise<number>;
  $queryRawUnsafe<T = unknown>(text: string, ...values: unknown[]): Promise<T>;
}

/** The connection broke during the commit: it is unknown whether the transaction has happened. */
export class CommitUnknown extends Error {
  override readonly name = "CommitUnknown";
}

/** A pool of connections for transactions of plain SQL. */
export interface SqlPool {
  /**
   * Runs `work` in one transaction, and rolls back when it throws. Throws CommitUnknown.
   * @param work may call `commitNow` behind its last statement: the commit then travels with it. Only an error of
   *   Postgres can still undo it, so `work` must not throw anything else afterwards.
   */
  transaction<T>(work: (tx: SqlTx, commitNow: () => void) => Promise<T>): Promise<T>;
  /** Runs `work`, which only reads, on one connection without a transaction. */
  read<T>(work: (tx: SqlTx) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

/** The longest wait for a lock, in ms. */
const LOCK_MS = 500;

/** Opens a pool; connects with the first transaction. */
export function openSqlPool(config: SessionConfig, maxConnections: number): SqlPool {
  // A batch must not wait long for a lock that one of its items needs; that item then waits alone, elsewhere.
  // Each statement is planned once per connection, for lists of any length. All of them have an index, and a plan that
  // was made while a table was empty must use it, too. An index scan also clears away the entries of dead rows, which a
  // bitmap scan reads again each time: rows of active runs and of messages die fast.
  const options = `${config.options} -c enable_seqscan=off -c enable_bitmapscan=off -c plan_cache_mode=force_generic_plan -c jit=off -c lock_timeout=${LOCK_MS}`;
  const pool = new pg.Pool({ ...config, options, max: maxConnections, pipeline: true, types: TYPES });
  // The pool replaces a broken idle connection itself. Without a listener its error would end the process.
  pool.on("error", () => undefined);
  const onConnection = async <T>(work: (client: pg.PoolClient) => Promise<T>): Promise<T> => {
    const client = await pool.connect();
    let broken: Error | undefined;
    const onError = (error: Error) => {
      broken = error;
    };
    client.on("error", onError);
    try {
      return await work(client);
    } catch (error) {
      // A prepared statement no longer fits: after a migration, for example. A new connection prepares it anew.
      const isStale = error instanceof pg.DatabaseError && ["0A000", "26000"].includes(error.code ?? "");
      if (error instanceof CommitUnknown || isStale) broken = error;
      throw error;
    } finally {
      client.off("error", onError);
      client.release(broken);
    }
  };
  return {
    transaction: (work) => onConnection((client) => inTransaction(client, work)),
    read: (work) => onConnection((client) => work(createStatements(client).tx)),
    close: () => pool.end(),
  };
}

async function inTransaction<T>(
  client: pg.PoolClient,
  work: (tx: SqlTx, commitNow: () => void) => Promise<T>,
): Promise<T> {
  const statements = createStatements(client);
  gatherWrites(client);
  const begun = client.query("BEGIN");
  let committing: Promise<pg.QueryResult> | undefined;
  const commitNow = () => {
    statements.close();
    committing = client.query("COMMIT");
    // Its error is looked at below.
    committing.catch(() => undefined);
  };
  let result: T;
  try {
    [result] = await Promise.all([work(statements.tx, commitNow), begun]);
  } catch (error) {
    if (committing !== undefined && !(error instanceof pg.DatabaseError)) throw unknownCommit(error);
    statements.close();
    // Waits for the statements that are still under way. When the connection is broken, there is nothing to roll back.
    await client.query("ROLLBACK").catch(() => undefined);
    throw statements.firstError() ?? error;
  }
  statements.close();
  let end: string;
  try {
    end = (await (committing ?? client.query("COMMIT"))).command;
  } catch (error) {
    throw isRefusal(error) ? error : unknownCommit(error);
  }
  if (end !== "COMMIT") throw statements.firstError() ?? new Error("the transaction was rolled back");
  return result;
}

function unknownCommit(cause: unknown): CommitUnknown {
  return new CommitUnknown("the connection broke during a commit", { cause });
}

/** Whether Postgres has refused a commit, as a constraint does that is checked at the end. */
function isRefusal(error: unknown): boolean {
  return (
    error instanceof pg.DatabaseError && error.severity === "ERROR" && !/^(08|57P)/.test(error.code ?? "")
  );
}

/** The statements of one transaction, or of reads on one connection. */
interface Statements {
  tx: SqlTx;
  /** From now on a statement fails: the connection belongs to somebody else. */
  close(): void;
  /** The first error of Postgres. The statements behind it fail because of it, and their errors may be seen sooner. */
  firstError(): unknown;
}

function createStatements(client: pg.PoolClient): Statements {
  let isClosed = false;
  let firstError: unknown;
  const run = async (text: string, values: readonly unknown[], name: string) => {
    if (isClosed) throw new Error("the transaction of this statement has ended");
    gatherWrites(client);
    try {
      return await client.query({ name, text, values: [...values] });
    } catch (error) {
      firstError ??= error;
      throw error;
    }
  };
  const runTemplate = (strings: TemplateStringsArray, values: readonly unknown[]) => {
    const { text, name } = statementOf(strings);
    return run(text, values, name);
  };
  const tx: SqlTx = {
    $queryRaw: async <T>(strings: TemplateStringsArray, ...values: unknown[]) =>
      (await runTemplate(strings, values)).rows as T,
    $executeRaw: async (strings, ...values) => (await runTemplate(strings, values)).rowCount ?? 0,
    $queryRawUnsafe: async <T>(text: string, ...values: unknown[]) =>
      (await run(text, values, nameOf(text))).rows as T,
  };
  return {
    tx,
    close() {
      isClosed = true;
    },
    firstError: () => firstError,
  };
}

/** What this turn still sends without waiting in between leaves in one packet. */
function gatherWrites(client: pg.PoolClient): void {
  const { stream } = (client as unknown as { connection: { stream: Socket } }).connection;
  stream.cork();
  process.nextTick(() => stream.uncork());
}

/** The text and name of a statement, by the template that wrote it. */
const statements = new WeakMap<TemplateStringsArray, { text: string; name: string }>();

function statementOf(strings: TemplateStringsArray): { text: string; name: string } {
  let statement = statements.get(strings);
  if (statement === undefined) {
    const text = strings.reduce((before, part, index) => `${before}$${index}${part}`);
    statement = { text, name: nameOf(text) };
    statements.set(strings, statement);
  }
  return statement;
}

/** Names of statements by their texts. Texts contain no values but the number of messages to claim, so there are few. */
const names = new Map<string, string>();

/** Postgres keeps the plan of a named statement for as long as the connection lasts. */
function nameOf(text: string): string {
  let name = names.get(text);
  if (name === undefined) {
    name = createHash("sha256").update(text).digest("hex").slice(0, 32);
    names.set(text, name);
  }
  return name;
}

const INT8 = 20;

/** Results as Prisma returns them: a bigint column as a bigint. */
const TYPES: pg.CustomTypesConfig = {
  getTypeParser: ((oid: number, format?: "text" | "binary") =>
    oid === INT8 ? BigInt : pg.types.getTypeParser(oid, format as "text")) as typeof pg.types.getTypeParser,
};
