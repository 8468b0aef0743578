/** Says field by field in what two documents differ. */

/** One field that differs; null stands for one that is not there. */
export interface FieldChange {
  /** `retry.limit`; lists count as one value. */
  path: string;
  before: unknown;
  after: unknown;
}

/** The fields in which two JSON values differ, those of the first one first. */
export function documentDiff(before: unknown, after: unknown, path: readonly string[] = []): FieldChange[] {
  if (isObject(before) && isObject(after)) {
    const keys = new Set([...Object.keys(before), ...Object.keys(after)]);
    return [...keys].flatMap((key) => documentDiff(before[key], after[key], [...path, key]));
  }
  if (JSON.stringify(before) === JSON.stringify(after)) return [];
  return [{ path: path.join("."), before: before ?? null, after: after ?? null }];
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
