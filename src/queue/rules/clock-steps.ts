/** Tells a step of the database's clock from the time that has passed. */

/** One look at the database's clock. */
export interface ClockLook {
  /** The time of the database's clock, in ms since the epoch. */
  databaseMs: number;
  /** Before the question was sent, in monotonic ms. */
  askedMs: number;
  /** When the answer had come, in monotonic ms. */
  answeredMs: number;
}

/** A smaller step (ms) does no harm: a claim is renewed several times before it lapses. */
const SMALLEST_STEP_MS = 1_000;

/**
 * Returns by how many ms the clock has certainly been stepped between two looks: positive ahead, negative back, 0 when
 * the times of question and answer explain the difference.
 */
export function clockStepMs(before: ClockLook, now: ClockLook): number {
  const passed = now.databaseMs - before.databaseMs;
  const atMost = now.answeredMs - before.askedMs;
  const atLeast = now.askedMs - before.answeredMs;
  if (passed - atMost > SMALLEST_STEP_MS) return passed - atMost;
  if (atLeast - passed > SMALLEST_STEP_MS) return passed - atLeast;
  return 0;
}
