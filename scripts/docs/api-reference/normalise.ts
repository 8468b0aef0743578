/** Replaces values that change with every run by fixed examples: ids, times, durations, ports, workers, cursors. */

const UUID = /[\da-f]{8}-[\da-f]{4}-7[\da-f]{3}-[\da-f]{4}-[\da-f]{12}/g;
const TIME = /^\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d)$/;
const MORNING = "2026-03-01T09:00:00";
/** The replacements for values of these names, at any depth. */
const EXAMPLES: Record<string, unknown> = {
  created_at: `${MORNING}.000Z`,
  updated_at: `${MORNING}.000Z`,
  triggered_at: `${MORNING}.000Z`,
  started_at: `${MORNING}.012Z`,
  finished_at: `${MORNING}.031Z`,
  at: `${MORNING}.000Z`,
  next_try_at: `${MORNING}.000Z`,
  next_attempt_at: `${MORNING}.000Z`,
  cancel_requested_at: `${MORNING}.024Z`,
  expires_at: "2026-05-30T09:00:00.000Z",
  last_used_at: `${MORNING}.000Z`,
  token: "crl_2Jc9oXK1mT0sVhQ4yG7uLr8bNwEaZp3dRfCi6kOtYxM",
  duration_ms: 19,
  oldest_ms: 812,
  last_success_ms: 431,
  last_beat_ms: 431,
  beat_lateness_ms: 3,
  worker: "kitchen-1",
  next_cursor: "WyJjbGVhbnVwX2pvYiJd",
};
/** These get another day and keep their time of day. */
const SLOT_LISTS = ["next_runs", "items"];
const FIRST_SLOT_DAY = Date.parse("2026-03-01");

export interface Normaliser {
  /** A parsed response. */
  json(value: unknown): unknown;
  text(text: string): string;
}

/** @param places what stands for what, such as a port; longer ones first where one is part of another */
export function createNormaliser(places: ReadonlyMap<string, string>): Normaliser {
  const ids = new Map<string, string>();
  const exampleId = (id: string): string => {
    const known = ids.get(id) ?? `019ca8a4-d26c-7000-8000-${String(ids.size + 1).padStart(12, "0")}`;
    ids.set(id, known);
    return known;
  };
  const replaced = (text: string): string => {
    let result = text.replaceAll(UUID, exampleId);
    for (const [place, example] of places) result = result.replaceAll(place, example);
    return result;
  };
  const json = (value: unknown): unknown => {
    if (typeof value === "string") return replaced(value);
    if (Array.isArray(value)) return value.map(json);
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(
      Object.entries(value).map(([key, inner]): [string, unknown] => {
        const slots = SLOT_LISTS.includes(key) ? shiftedSlots(inner) : undefined;
        if (slots !== undefined) return [key, slots];
        return [key, inner !== null && key in EXAMPLES ? EXAMPLES[key] : json(inner)];
      }),
    );
  };
  // The text drawing of a tree contains durations.
  const text = (answer: string): string => replaced(answer).replaceAll(/(?<=exit \d+,? +)[\dhms]+/g, "19ms");
  return { json, text };
}

/** A list of slots, moved by whole days so that its first one is on a fixed day; undefined for any other list. */
function shiftedSlots(list: unknown): unknown {
  const first = JSON.stringify(list).match(/^\[(?:\{"at":)?"(\d{4}-\d\d-\d\d)T/)?.[1];
  if (first === undefined) return undefined;
  const days = Date.parse(first) - FIRST_SLOT_DAY;
  return JSON.parse(JSON.stringify(list), (_, value) =>
    typeof value === "string" && TIME.test(value)
      ? new Date(Date.parse(value.slice(0, 10)) - days).toISOString().slice(0, 10) + value.slice(10)
      : value,
  );
}
