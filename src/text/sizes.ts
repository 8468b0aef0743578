/** Reads and writes sizes in bytes such as `512 KiB`, `1MiB`, `2 MB` or `4096`. */

const UNITS: Readonly<Record<string, number>> = {
  "": 1,
  b: 1,
  kb: 1_000,
  mb: 1_000_000,
  kib: 1_024,
  mib: 1_048_576,
};

/** Returns the number of bytes, or undefined if the text is not a size. */
export function parseSize(text: string): number | undefined {
  const [, digits, unit] = /^(\d{1,12}) ?([a-z]{0,3})$/i.exec(text) ?? [];
  const factor = UNITS[unit?.toLowerCase() ?? ""];
  return digits === undefined || factor === undefined ? undefined : Number(digits) * factor;
}

/** Writes a size in the largest unit that divides it; {@link parseSize} reads it back. */
export function formatSize(bytes: number): string {
  if (bytes > 0 && bytes % 1_048_576 === 0) return `${bytes / 1_048_576}MiB`;
  if (bytes > 0 && bytes % 1_024 === 0) return `${bytes / 1_024}KiB`;
  return `${bytes}B`;
}
