/** Waits for a run to end. */
import type { Infra } from "../infra.ts";
import { readRunState } from "./read.ts";
import { isFinal } from "./rules/states.ts";

/** A waiting caller looks at the truth this often, whatever the signals say. */
const POLL_MS = 1_000;

/** Waits until the run has ended or `closing` is aborted, at most `patienceMs`. Throws run_not_found. */
export async function waitForRun(
  { db, signals }: Infra,
  id: string,
  patienceMs: number,
  { closing }: { closing: AbortSignal },
): Promise<void> {
  const deadline = performance.now() + patienceMs;
  let wake = () => {};
  const unsubscribe = signals.subscribe((signal) => {
    if (signal.type === "missed" || (signal.type === "run_changed" && signal.run === id)) wake();
  });
  try {
    for (;;) {
      const woken = new Promise<void>((resolve) => {
        wake = resolve;
      });
      const state = await readRunState(db, id);
      const left = deadline - performance.now();
      if (isFinal(state) || left <= 0 || closing.aborted) return;
      await Promise.race([woken, timeout(Math.min(left, POLL_MS))]);
    }
  } finally {
    unsubscribe();
  }
}

function timeout(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}
