/** Finds where the last lines of an output begin. */
import type { Database } from "../postgres/client.ts";
import type { LogPart, LogPlace } from "./follow.ts";
import { readPieces } from "./pieces.ts";
import type { LogReader } from "./reader.ts";
import { createLineFinder, type LineFinder } from "./rules/lines.ts";
import { shownStretches } from "./rules/output.ts";

const READ_BYTES = 1_048_576;

/** The places between which the last lines of a part are, at this moment. */
export interface Tail {
  from: LogPlace;
  end: LogPlace;
}

/**
 * Finds the last `lines` lines of a part, as `tail -n` counts them, but with CR as the end of a line too; the whole part
 * if it has fewer. The mark of a gap counts as a line.
 */
export async function findTail(
  db: Database,
  reader: LogReader,
  runId: string,
  { from, last = Number.POSITIVE_INFINITY }: LogPart,
  lines: number,
): Promise<Tail> {
  const attempts = (await reader.progress(runId))?.attempts ?? [];
  let end: LogPlace | undefined;
  let wanted = lines;
  for (let ordinal = Math.min(last, attempts.length - 1); ordinal >= from.ordinal; ordinal--) {
    const found = await lastLines(db, String(attempts[ordinal]?.id), wanted);
    end ??= { ordinal, position: found.end() };
    if (wanted === 0) return { from: end, end };
    const [first] = found.starts();
    if (first !== undefined && found.starts().length === wanted) {
      return { from: { ordinal, position: first }, end };
    }
    wanted -= found.starts().length;
  }
  return { from, end: end ?? from };
}

async function lastLines(db: Database, attemptId: string, most: number): Promise<LineFinder> {
  const finder = createLineFinder(most);
  for (let more = true; more; ) {
    const position = finder.end();
    const read = await readPieces(db.prisma, attemptId, position, READ_BYTES);
    more = read.more;
    for (const { gap, bytes } of shownStretches(read.pieces, position)) finder.add(bytes, gap);
    // Halves of characters beside a gap are read again with the gap.
    if (finder.end() === position) break;
  }
  return finder;
}
