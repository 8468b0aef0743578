/** Runs queries and returns what Postgres did: which tables and indexes it read, and how many rows. */
import type { Tx } from "../../src/postgres/client.ts";
import { Prisma } from "../../src/postgres/generated/client.ts";
import { type Search, type SearchPath, searchQuery } from "../../src/postgres/newest-first.ts";

interface PlanNode {
  "Node Type": string;
  "Relation Name"?: string;
  "Index Name"?: string;
  "Actual Rows": number;
  "Actual Loops": number;
  "Rows Removed by Filter"?: number;
  Plans?: PlanNode[];
}

/** What a query read of one table. */
export interface TableRead {
  indexes: string[];
  /** Whether it scanned the table without an index. */
  inSequence: boolean;
  rows: number;
}

/** Reads a table on the paths of a search, one after the other, as far as each goes. */
export async function readOf(
  tx: Tx,
  table: string,
  search: Search,
  paths: readonly SearchPath[],
): Promise<TableRead> {
  const nodes: PlanNode[] = [];
  for (const path of paths.filter((parts) => parts.length > 0)) {
    const [row] = await tx.$queryRaw<{ "QUERY PLAN": [{ Plan: PlanNode }] }[]>(
      Prisma.sql`EXPLAIN (ANALYZE, FORMAT JSON) ${searchQuery(search, path)}`,
    );
    nodes.push(...nodesOf(row?.["QUERY PLAN"][0].Plan));
  }
  // A bitmap scan of an index has no table, but the scan of the table above it has the rows.
  const scans = nodes.filter((node) => node["Relation Name"] === table && node["Actual Loops"] > 0);
  const indexes = nodes
    .filter((node) => node["Actual Loops"] > 0)
    .flatMap((node) => node["Index Name"] ?? []);
  return {
    indexes: [...new Set(indexes)].filter((name) => name.startsWith(`${table}_`)).sort(),
    inSequence: scans.some((node) => node["Node Type"] === "Seq Scan"),
    rows: scans.reduce((sum, node) => {
      return sum + (node["Actual Rows"] + (node["Rows Removed by Filter"] ?? 0)) * node["Actual Loops"];
    }, 0),
  };
}

function nodesOf(node: PlanNode | undefined): PlanNode[] {
  return node === undefined ? [] : [node, ...(node.Plans ?? []).flatMap(nodesOf)];
}

/** SQL for the UUIDv7 of a time and a number, which sorts by time. */
export function idAt(at: Prisma.Sql, number: Prisma.Sql): Prisma.Sql {
  return Prisma.sql`(lpad(to_hex((extract(epoch FROM ${at}) * 1000)::bigint), 12, '0') || '70008'
    || lpad(to_hex(${number}), 15, '0'))::uuid`;
}
