/** Finds where the last lines of an output begin. */
import type { Database } from "../postgres/client.ts";
import type { LogPart, LogPlace } from "./follow.ts";
import { readPieces } from "./pieces.ts";
import type { LogReader } from "./reader.ts";
import { stretches } from "./rules/output.ts";

const READ_BYTES = 1_048_576;
const NEWLINE = 0x0a;

/**
 * Returns the place where the last `lines` lines of a part begin, as `tail -n` counts them; the beginning of the part
 * if it has fewer. Output behind a gap starts a new line.
 */
export async function tailPlace(
  db: Database,
  reader: LogReader,
  runId: string,
  { from, last = Number.POSITIVE_INFINITY }: LogPart,
  lines: number,
): Promise<LogPlace> {
  const attempts = (await reader.progress(runId))?.attempts ?? [];
  let wanted = lines;
  for (let ordinal = Math.min(last, attempts.length - 1); ordinal >= from.ordinal; ordinal--) {
    const { starts, end } = await lastLines(db, String(attempts[ordinal]?.id), wanted);
    if (wanted === 0) return { ordinal, position: end };
    const [first] = starts;
    if (first !== undefined && starts.length === wanted) return { ordinal, position: first };
    wanted -= starts.length;
  }
  return from;
}

/** Returns where the last `most` lines begin, and where the output ends. */
async function lastLines(
  db: Database,
  attemptId: string,
  most: number,
): Promise<{ starts: number[]; end: number }> {
  let starts: number[] = [];
  let end = 0;
  let isLineStart = true;
  for (let more = true; more; ) {
    const read = await readPieces(db.prisma, attemptId, end, READ_BYTES);
    more = read.more;
    for (const { gap, bytes } of stretches(read.pieces, end)) {
      const begin = end + gap;
      if (isLineStart || gap > 0) starts.push(begin);
      for (
        let at = bytes.indexOf(NEWLINE);
        at !== -1 && at + 1 < bytes.length;
        at = bytes.indexOf(NEWLINE, at + 1)
      ) {
        starts.push(begin + at + 1);
      }
      isLineStart = bytes.at(-1) === NEWLINE;
      end = begin + bytes.length;
    }
    starts = most === 0 ? [] : starts.slice(-most);
  }
  return { starts, end };
}
