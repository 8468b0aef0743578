/** Reads the chain that a run belongs to. */

import type { Deps } from "../deps.ts";
import { runNotFound } from "./read.ts";
import { type ChainRun, chainOf } from "./run-tree.ts";

/** A chain is shown up to so many runs. */
const MAX_TREE = 1_000;

/** The runs of a chain, each after the one that triggered it; the first began it. Throws run_not_found. */
export async function readTree(deps: Deps, id: string): Promise<{ runs: ChainRun[]; truncated: boolean }> {
  const runs = await chainOf(deps.db.prisma, id, MAX_TREE + 1);
  if (runs.length === 0) throw runNotFound(id);
  return { runs: runs.slice(0, MAX_TREE), truncated: runs.length > MAX_TREE };
}
