/** A thread that runs patterns on hostile texts and tells the CPU time each has taken; it may never come back. */
import { parentPort, workerData } from "node:worker_threads";
import { hostileTexts } from "./hostile-texts.ts";
import type { Pattern } from "./source-patterns.ts";

/** The slowest text of one pattern. */
export interface Trial {
  place: string;
  /** CPU time. */
  ms: number;
  /** How the text begins. */
  text: string;
}

/** What the thread is given. */
export interface Task {
  patterns: readonly Pattern[];
  /** Enough to stop at, CPU time in ms. */
  limitMs: number;
}

const { patterns, limitMs } = workerData as Task;
for (const { place, source, flags } of patterns) {
  parentPort?.postMessage(place);
  const slowest: Trial = { place, ms: 0, text: "" };
  for (const text of hostileTexts(source)) {
    const pattern = new RegExp(source, flags);
    const before = process.threadCpuUsage().user;
    if (pattern.global) text.replace(pattern, "");
    else pattern.test(text);
    const ms = (process.threadCpuUsage().user - before) / 1_000;
    if (ms > slowest.ms) Object.assign(slowest, { ms, text: text.slice(0, 40) });
    if (ms > limitMs) break;
  }
  parentPort?.postMessage(slowest);
}
