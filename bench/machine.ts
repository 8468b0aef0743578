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

/** Returns `median (min..max)`, in whole numbers. */
export function spread(values: readonly number[]): string {
  const shown = [quantile(values, 0.5), Math.min(...values), Math.max(...values)].map((value) =>
    value.toFixed(0),
  );
  return `${shown[0]} (${shown[1]}..${shown[2]})`;
}

/** A Markdown table with columns of equal width; the first row is the head. */
export function markdownTable(rows: readonly (readonly string[])[]): string {
  const [head = [], ...body] = rows;
  const widths = head.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]) =>
    `| ${widths.map((width, column) => (row[column] ?? "").padEnd(width)).join(" | ")} |`;
  return [line(head), line(widths.map((width) => "-".repeat(width))), ...body.map(line)].join("\n");
}
