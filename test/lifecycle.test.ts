/** Tests of the lifecycle of long-running parts: ticks, health, and a stop with a time limit. */
import pino from "pino";
import { expect, it, vi } from "vitest";
import { createMonitor, createParts, type Part, reportStart, startTicking } from "../src/lifecycle.ts";

interface Line {
  level: number;
  msg: string;
  parts?: string[];
}

function collectLog() {
  const lines: Line[] = [];
  const log = pino({ level: "debug" }, { write: (line: string) => void lines.push(JSON.parse(line)) });
  return { log, lines };
}

const ERROR = 50;
const SILENT = pino({ level: "silent" });

it("logs a repeated error once, counts every error, and logs the recovery", () => {
  const { log, lines } = collectLog();
  const monitor = createMonitor("the part", log);
  for (const message of ["away", "away", "odd", "away"]) monitor.failed(new Error(message));
  expect(monitor.health()).toMatchObject({ errors: 4, lastError: "away", sinceErrorMs: expect.any(Number) });
  monitor.succeeded();
  monitor.succeeded();
  expect(monitor.health()).toMatchObject({ errors: 4, lastError: undefined });
  monitor.failed(new Error("away"));
  expect(lines.filter(({ level }) => level === ERROR)).toHaveLength(3);
  expect(lines.filter(({ msg }) => msg === "recovered: the part")).toHaveLength(1);
});

it("reports a part as late after too long without a success", () => {
  vi.useFakeTimers();
  try {
    const monitor = createMonitor("the part", SILENT, 5_000);
    vi.advanceTimersByTime(5_000);
    expect(monitor.health()).toMatchObject({ isLate: false, sinceSuccessMs: 5_000 });
    vi.advanceTimersByTime(1);
    expect(monitor.health()).toMatchObject({ isLate: true });
    monitor.succeeded();
    expect(monitor.health()).toMatchObject({ isLate: false, sinceSuccessMs: 0 });
  } finally {
    vi.useRealTimers();
  }
});

it("ticks at once and after each end, continues after an error, and never overlaps", async () => {
  const ticks: string[] = [];
  let atWork = 0;
  const enough = Promise.withResolvers<void>();
  const part = startTicking({
    monitor: createMonitor("ticking", SILENT),
    waitMs: () => 1,
    async tick() {
      ticks.push(`${++atWork} at work`);
      await new Promise((resolve) => setImmediate(resolve));
      atWork--;
      if (ticks.length === 2) throw new Error("once");
      if (ticks.length === 4) enough.resolve();
    },
  });
  await enough.promise;
  await part.stop();
  const { length } = ticks;
  expect(new Set(ticks)).toEqual(new Set(["1 at work"]));
  expect(part.health?.()).toMatchObject({ errors: 1, lastError: undefined });
  await new Promise((resolve) => setTimeout(resolve, 5));
  expect(ticks).toHaveLength(length);
});

it("says every 5 s what a start waits for, and nothing once it is over", () => {
  vi.useFakeTimers();
  try {
    const { log, lines } = collectLog();
    const report = reportStart(log);
    report.waitsFor("the database");
    vi.advanceTimersByTime(11_000);
    report.waitsFor("the runner");
    vi.advanceTimersByTime(5_000);
    report[Symbol.dispose]();
    vi.advanceTimersByTime(60_000);
    expect(lines.map(({ msg }) => msg)).toEqual([
      "the start has been waiting for the database for 5 s",
      "the start has been waiting for the database for 10 s",
      "the start has been waiting for the runner for 4 s",
    ]);
  } finally {
    vi.useRealTimers();
  }
});

it("stops stage by stage, abandons parts that hang, and logs their names", async () => {
  const { log, lines } = collectLog();
  const events: string[] = [];
  const parts = createParts(log);
  const part = (name: string, stop: Part["stop"]): Part => ({ name, stopMs: 20, stop });
  const quick = (name: string) => part(name, async () => void events.push(name));
  const hung = part("hung", (deadline) => {
    deadline?.addEventListener("abort", () => events.push("aborted"));
    return new Promise(() => undefined);
  });
  const failing = part("failing", () => Promise.reject(new Error("no")));
  parts.add("storage", quick("postgres"));
  parts.add("work", hung, quick("worker"), failing);
  parts.add("intake", quick("api"));
  await parts.stop();
  expect(events).toEqual(["api", "worker", "aborted", "postgres"]);
  expect(lines.at(-1)).toMatchObject({
    msg: "stopped without waiting for hung, failing",
    parts: ["hung", "failing"],
  });
});
