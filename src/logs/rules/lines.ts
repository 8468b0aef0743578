/** Finds where the lines of an output begin: each ends with LF, CR LF, or the CR by which a command draws its progress. */

const LF = 0x0a;
const CR = 0x0d;

/** Walks over an output and remembers where its last lines begin. */
export interface LineFinder {
  /** Takes the next bytes. `gap`: how many bytes were left out before them. */
  add(bytes: Uint8Array, gap: number): void;
  /** The positions of the last lines; those of a marked gap and the text behind it are the same. */
  starts(): readonly number[];
  /** The position behind all bytes so far. */
  end(): number;
}

/** Creates a finder that remembers the last `most` lines. */
export function createLineFinder(most: number): LineFinder {
  let starts: number[] = [];
  let end = 0;
  let isLineStart = true;
  let isBehindReturn = false;

  function addGap(gap: number): void {
    // The mark of the gap ends the line before it, which is an empty one at the beginning of a line, and has a line of
    // its own. No position lies between these lines: a caller that asks for fewer of them gets the text after the gap.
    const behind = end + gap;
    if (isLineStart) starts.push(behind);
    starts.push(behind);
    end = behind;
    isLineStart = true;
    isBehindReturn = false;
  }

  return {
    add(bytes, gap) {
      if (gap > 0) addGap(gap);
      for (let index = 0; index < bytes.length; index++) {
        const byte = bytes[index];
        const endsReturn = isBehindReturn && byte === LF;
        if (isLineStart && !endsReturn) starts.push(end + index);
        isLineStart = byte === LF || byte === CR;
        isBehindReturn = byte === CR;
      }
      end += bytes.length;
      starts = most === 0 ? [] : starts.slice(-most);
    },
    starts: () => starts,
    end: () => end,
  };
}
