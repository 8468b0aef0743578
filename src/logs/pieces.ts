/** Queries on the output of attempts: pieces are written while they run, completed at their end, read from any position. */

import type { SqlTx, Tx } from "../postgres/client.ts";
import type { AttemptState, RunState } from "../postgres/generated/enums.ts";
import type { FinalOutput, OutputPiece } from "./rules/output.ts";

/** New output of one attempt. */
export interface LiveWrite {
  attemptId: string;
  /** A piece replaces a stored one at the same position. */
  pieces: readonly OutputPiece[];
  /** Positions of stored pieces to delete; no new piece has one of them. */
  dropped: readonly number[];
}

/** The most rows that one read returns: a small piece is a row, too. */
const READ_ROWS = 64;

/**
 * Writes new output of several attempts, and returns those that are still running, with their runs. For an attempt
 * that has ended or is being settled it writes nothing, so a late worker changes nothing.
 */
export async function writeLive(
  tx: Tx,
  writes: readonly LiveWrite[],
): Promise<{ attemptId: string; runId: string }[]> {
  const pieces = writes.flatMap(({ attemptId, pieces: own }) =>
    own.map((piece) => ({ attemptId, ...piece })),
  );
  const dropped = writes.flatMap(({ attemptId, dropped: own }) =>
    own.map((position) => ({ attemptId, position })),
  );
  const { bytes, positions, starts, lengths } = packed(pieces);
  return tx.$queryRaw`
    WITH live AS (
      SELECT id, run_id FROM attempt
      WHERE id = ANY(${writes.map((write) => write.attemptId)}::uuid[]) AND state = 'running'
      FOR SHARE SKIP LOCKED
    ), gone AS (
      DELETE FROM attempt_log USING live, unnest(
        ${dropped.map((one) => one.attemptId)}::uuid[], ${dropped.map((one) => one.position)}::bigint[]
      ) old (attempt_id, position)
      WHERE attempt_log.attempt_id = ANY(${dropped.map((one) => one.attemptId)}::uuid[])
        AND attempt_log.attempt_id = old.attempt_id AND attempt_log.position = old.position
        AND live.id = old.attempt_id
    ), written AS (
      INSERT INTO attempt_log (attempt_id, position, bytes)
      SELECT new.attempt_id, new.position, substring(${bytes}::bytea FROM new.start + 1 FOR new.length)
      FROM live JOIN unnest(
        ${pieces.map((piece) => piece.attemptId)}::uuid[], ${positions}::bigint[],
        ${starts}::int[], ${lengths}::int[]
      ) new (attempt_id, position, start, length) ON live.id = new.attempt_id
      ON CONFLICT (attempt_id, position) DO UPDATE SET bytes = EXCLUDED.bytes
    )
    SELECT id AS "attemptId", run_id AS "runId" FROM live`;
}

/** Replaces the stored output of an attempt by its final output. The caller must hold a lock on the attempt. */
export async function completeOutput(tx: SqlTx, attemptId: string, output: FinalOutput): Promise<void> {
  // A command that printed anything has stored pieces or missing ones: without them the table has nothing of it.
  if (output.stored.length + output.missing.length === 0) return;
  const { bytes, positions, starts, lengths } = packed(output.missing);
  await tx.$executeRaw`
    WITH gone AS (
      DELETE FROM attempt_log
      WHERE attempt_id = ${attemptId}::uuid AND position <> ALL(${[...output.stored, ...positions]}::bigint[])
    )
    INSERT INTO attempt_log (attempt_id, position, bytes)
    SELECT ${attemptId}::uuid, position, substring(${bytes}::bytea FROM start + 1 FOR length)
    FROM unnest(${positions}::bigint[], ${starts}::int[], ${lengths}::int[]) new (position, start, length)
    ON CONFLICT (attempt_id, position) DO UPDATE SET bytes = EXCLUDED.bytes`;
}

/** Pieces as query parameters. All bytes are one parameter: an array of them would be sent as hexadecimal text. */
function packed(pieces: readonly OutputPiece[]) {
  const starts: number[] = [];
  let length = 0;
  for (const piece of pieces) {
    starts.push(length);
    length += piece.bytes.length;
  }
  return {
    bytes: Buffer.concat(
      pieces.map((piece) => piece.bytes),
      length,
    ),
    positions: pieces.map((piece) => piece.position),
    starts,
    lengths: pieces.map((piece) => piece.bytes.length),
  };
}

/** Returns the stored pieces of the latest attempts of runs, in order, as far as they hold the last `bytes` bytes. */
export async function lastPieces(
  tx: SqlTx,
  runIds: readonly string[],
  bytes: number,
): Promise<Map<string, OutputPiece[]>> {
  const rows = await tx.$queryRaw<{ runId: string; position: bigint; bytes: Uint8Array }[]>`
    SELECT wanted.id AS "runId", piece.position, piece.bytes
    FROM unnest(${[...runIds]}::uuid[]) AS wanted (id) CROSS JOIN LATERAL (
      SELECT id FROM attempt WHERE run_id = wanted.id ORDER BY number DESC, claim DESC LIMIT 1
    ) AS latest CROSS JOIN LATERAL (
      SELECT l.position, l.bytes,
        sum(octet_length(l.bytes)) OVER (ORDER BY l.position DESC) - octet_length(l.bytes) AS behind
      FROM attempt_log l WHERE l.attempt_id = latest.id
    ) AS piece
    WHERE piece.behind < ${bytes}::bigint ORDER BY piece.position`;
  const pieces = Map.groupBy(rows, ({ runId }) => runId);
  return new Map(
    [...pieces].map(([id, own]) => [
      id,
      own.map((row) => ({ position: Number(row.position), bytes: row.bytes })),
    ]),
  );
}

/**
 * Reads the stored pieces from a position on, about `maxBytes` at most.
 * @returns `more` is true if there may be more output behind them
 */
export async function readPieces(
  tx: Tx,
  attemptId: string,
  position: number,
  maxBytes: number,
): Promise<{ pieces: OutputPiece[]; more: boolean }> {
  const rows = await tx.$queryRaw<{ position: bigint; length: number; bytes: Uint8Array }[]>`
    SELECT piece.start AS position, piece.length,
      substring(piece.bytes FROM (piece.start - piece.position)::int + 1 FOR ${maxBytes}::int) AS bytes
    FROM (
      SELECT near.*, SUM(near.length) OVER (ORDER BY near.position) - near.length AS before
      FROM (
        SELECT l.position, l.bytes, GREATEST(l.position, ${position}::bigint) AS start,
          GREATEST(l.position + octet_length(l.bytes) - GREATEST(l.position, ${position}::bigint), 0)::int AS length
        FROM attempt_log l
        WHERE l.attempt_id = ${attemptId}::uuid AND l.position >= COALESCE((
          SELECT max(e.position) FROM attempt_log e
          WHERE e.attempt_id = ${attemptId}::uuid AND e.position <= ${position}::bigint
        ), 0)
        ORDER BY l.position LIMIT ${READ_ROWS}
      ) near
    ) piece
    WHERE piece.length > 0 AND piece.before < ${maxBytes}
    ORDER BY piece.position`;
  const pieces = rows.map((row) => ({ position: Number(row.position), bytes: row.bytes }));
  const bytes = rows.reduce((sum, row) => sum + row.bytes.length, 0);
  const cut = rows.some((row) => row.bytes.length < row.length);
  return { pieces, more: cut || bytes >= maxBytes || rows.length >= READ_ROWS - 1 };
}

/** The progress of a run, as far as a reader of its output needs it. */
export interface LogProgress {
  state: RunState;
  status: number | null;
  /** Whether the run has ended. */
  ended: boolean;
  attempts: { id: string; number: number; state: AttemptState }[];
}

/** Returns undefined if there is no such run. */
export async function logProgress(tx: SqlTx, runId: string): Promise<LogProgress | undefined> {
  const [[run], attempts] = await Promise.all([
    tx.$queryRaw<Omit<LogProgress, "attempts">[]>`
      SELECT state, status, finished_at IS NOT NULL AS ended FROM run WHERE id = ${runId}::uuid`,
    tx.$queryRaw<LogProgress["attempts"]>`
      SELECT id, number, state FROM attempt WHERE run_id = ${runId}::uuid ORDER BY id`,
  ]);
  return run && { ...run, attempts };
}
