/** Describes the machine, and summarises the figures of a benchmark. */
import { availableParallelism, cpus, type } from "node:os";

/** One line: processor, cores, system, Node, day. */
export function describeMachine(): string {
  const model = cpus()[0]?.model.trim() || "unknown processor";
  const day = new Date().toISOString().slice(0, 10);
  return `${model}, ${availableParallelism()} cores, ${type()}, Node ${process.version}, ${day}`;
}

/** The value below which `share` (0 to 1) of the values lie. NaN if there are none. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

/** Returns p50 and p99 of times in ms, each under its title: `ack p50 (ms)`. Empty without times. */
export function percentiles(name: string, ms: readonly number[], upper = 0.99): Record<string, number> {
  if (ms.length === 0) return {};
  return Object.fromEntries(
    [0.5, upper].map((share) => [`${name} p${share * 100} (ms)`, quantile(ms, share)]),
  );
}

/** A number with the digits that it deserves. */
export function figure(value: number): string {
  if (Number.isInteger(value)) return `${value}`;
  return value.toFixed(Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2);
}

/** Returns `median (min..max)`; empty if there are no values. */
export function spread(values: readonly number[]): string {
  if (values.length === 0) return "";
  const [median, min, max] = [quantile(values, 0.5), Math.min(...values), Math.max(...values)].map(figure);
  return min === max ? `${median}` : `${median} (${min}..${max})`;
}

/** A Markdown table with columns of equal width; the first row is the head. */
export function markdownTable(rows: readonly (readonly string[])[]): string {
  const [head = [], ...body] = rows;
  const widths = head.map((_, column) => Math.max(3, ...rows.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]) =>
    `| ${widths.map((width, column) => (row[column] ?? "").padEnd(width)).join(" | ")} |`;
  return [line(head), line(widths.map((width) => "-".repeat(width))), ...body.map(line)].join("\n");
}
