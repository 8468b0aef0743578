/** Reads what is stored of an attempt's output. */
import type { OutputPiece } from "../../src/logs/rules/output.ts";
import type { Tx } from "../../src/postgres/client.ts";

/** Returns all stored pieces of an attempt, in order. */
export async function storedPieces(tx: Tx, attemptId: string): Promise<OutputPiece[]> {
  const rows = await tx.attemptLog.findMany({ where: { attemptId }, orderBy: { position: "asc" } });
  return rows.map(({ position, bytes }) => ({ position: Number(position), bytes }));
}
