/** Reads a page of a list, newest first, from indexes, and stops after a bounded number of rows. */
import type { Tx } from "./client.ts";
import { Prisma } from "./generated/client.ts";

/**
 * The most rows that one search reads in one index. A search that finds too few matches among them returns what it
 * has found and where it stopped, and the next page continues there.
 */
const MOST_READ = 5_000;
/** The same for the newest rows of the whole table: there the search is for values that are usually common. */
const MOST_READ_OF_ALL = 20_000;

/** Rows that an index finds, newest first: all, or those with each of some values. */
export interface IndexPart {
  /** The values, as a list of rows named `wanted`; undefined: the part has no values. */
  wanted?: { rows: Prisma.Sql; count: number };
  /**
   * What selects the rows of one value. Compare the first column by `= ANY(ARRAY[wanted.value])`: with a plain `=`,
   * Postgres may instead search the newest rows of all values, which for a rare value reads the whole table. Compare
   * further columns by `=`: an array there would not be looked up in the index.
   */
  is: Prisma.Sql;
  /** The columns before the id in the order of the index. */
  columns: readonly Prisma.Sql[];
  /** The index is not in the order of the ids, but has few rows, which are all read. */
  isSmall?: true;
}

/** A way to find all rows that a filter may match: the parts together contain each such row once. Empty: no row can match. */
export type SearchPath = readonly IndexPart[];

/** A search for the newest rows of a table with the columns `id` and those of the conditions. */
export interface Search {
  table: Prisma.Sql;
  /** The ids to look at, which every index of the paths ends with. */
  ids: { before?: string | undefined; from?: string | undefined; to?: string | undefined };
  /** What a row must match. */
  conditions: readonly Prisma.Sql[];
  limit: number;
}

/** The ids of a page. `stoppedAt`: older matches may follow, but the search read only the rows from this id on. */
export interface FoundPage {
  ids: string[];
  stoppedAt: string | undefined;
}

/** Searches on one path after the other until one has found a page, or read all. Else returns what reached furthest. */
export async function findNewest(tx: Tx, search: Search, paths: readonly SearchPath[]): Promise<FoundPage> {
  let furthest: FoundPage | undefined;
  for (const path of paths) {
    if (path.length === 0) return { ids: [], stoppedAt: undefined };
    const rows = await tx.$queryRaw<{ id: string; isStop: boolean }[]>(searchQuery(search, path));
    const stoppedAt = rows.find((row) => row.isStop)?.id;
    const ids = rows.flatMap(({ id, isStop }) => (isStop ? [] : [id]));
    if (stoppedAt === undefined) return { ids, stoppedAt };
    if (furthest?.stoppedAt !== undefined && furthest.stoppedAt <= stoppedAt) continue;
    // Beyond the first stop, other values of the path are complete, but not this one.
    furthest = { ids: ids.filter((id) => id >= stoppedAt), stoppedAt };
  }
  return furthest ?? { ids: [], stoppedAt: undefined };
}

/** The query of a search on one path. Exported for tests of its plan. */
export function searchQuery(search: Search, path: SearchPath): Prisma.Sql {
  const found = path.map((part) => partQuery(search, part));
  const stops = path.filter((part) => part.isSmall === undefined).map((part) => stopQuery(search, part));
  return Prisma.sql`
    WITH page AS MATERIALIZED (
      SELECT found.id FROM (${Prisma.join(found, " UNION ALL ")}) AS found
      ORDER BY found.id DESC LIMIT ${search.limit}
    )
    SELECT id, FALSE AS "isStop" FROM page ${stops.length === 0 ? Prisma.empty : firstStop(search, stops)}`;
}

/** Looks for a stop only if the page is not full. */
function firstStop({ limit }: Search, stops: readonly Prisma.Sql[]): Prisma.Sql {
  return Prisma.sql`
    UNION ALL (SELECT stop.id, TRUE FROM (${Prisma.join([...stops], " UNION ALL ")}) AS stop
      WHERE (SELECT count(*) FROM page) < ${limit} ORDER BY stop.id DESC LIMIT 1)`;
}

/** The newest matches of each value. */
function partQuery(search: Search, part: IndexPart): Prisma.Sql {
  const { table, conditions, limit } = search;
  const order = orderOf(search, part);
  const matches = conditions.length === 0 ? Prisma.sql`TRUE` : Prisma.join([...conditions], " AND ");
  // The inner LIMIT bounds what is read. It also keeps the conditions, and OFFSET the order, out of the choice of the
  // index: for an order by id alone, Postgres might read the whole table.
  const bound = part.isSmall
    ? Prisma.sql`OFFSET 0`
    : Prisma.sql`ORDER BY ${order} LIMIT ${mostRead(search, part)}`;
  return ofEach(
    part,
    Prisma.sql`
      SELECT ${table}.id FROM (${rowsOf(search, part)} ${bound}) AS ${table}
      WHERE ${matches} ORDER BY ${order} LIMIT ${limit}`,
  );
}

/** The oldest row that the search reads of each value which has more rows than it reads. */
function stopQuery(search: Search, part: IndexPart): Prisma.Sql {
  const most = mostRead(search, part);
  return ofEach(
    part,
    Prisma.sql`
      SELECT ${search.table}.id FROM (
        ${rowsOf(search, part)} ORDER BY ${orderOf(search, part)} OFFSET ${most - 1} LIMIT 1
      ) AS ${search.table}`,
  );
}

function ofEach({ wanted }: IndexPart, query: Prisma.Sql): Prisma.Sql {
  if (wanted === undefined) return Prisma.sql`(${query})`;
  return Prisma.sql`SELECT each.id FROM ${wanted.rows} CROSS JOIN LATERAL (${query}) AS each`;
}

function rowsOf(search: Search, part: IndexPart): Prisma.Sql {
  const { table, ids } = search;
  const { before, from, to } = ids;
  const range = [
    before && Prisma.sql`${table}.id < ${before}::uuid`,
    from && Prisma.sql`${table}.id >= ${from}::uuid`,
    to && Prisma.sql`${table}.id < ${to}::uuid`,
  ].filter((condition) => typeof condition === "object");
  const conditions = Prisma.join([part.is, ...range], " AND ");
  return Prisma.sql`SELECT * FROM ${table} WHERE ${conditions}`;
}

function orderOf({ table }: Search, { columns }: IndexPart): Prisma.Sql {
  return Prisma.join([...columns, Prisma.sql`${table}.id DESC`], ", ");
}

/** How many rows of each value are read at most; at least a page. */
function mostRead({ limit }: Search, { wanted }: IndexPart): number {
  if (wanted === undefined) return MOST_READ_OF_ALL;
  return Math.max(limit, Math.ceil(MOST_READ / Math.max(1, wanted.count)));
}
