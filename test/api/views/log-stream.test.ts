/** Output on the wire: events, heartbeats, and ranges cut out of any parts. */
import fc from "fast-check";
import { expect, it } from "vitest";
import { cutRange, MAX_RANGE_BYTES, parseRange } from "../../../src/api/views/log-range.ts";
import { eventStream } from "../../../src/api/views/log-stream.ts";
import type { LogStep } from "../../../src/logs/follow.ts";

async function* given<T>(parts: readonly T[]): AsyncGenerator<T> {
  yield* parts;
}

it("sends something every 15 s, so that proxies keep the line", async () => {
  let now = 0;
  const output: LogStep = { kind: "output", attempt: 0, at: { ordinal: 1, position: 2 }, text: "a\n" };
  async function* steps(): AsyncGenerator<LogStep> {
    for (let second = 1; second <= 40; second++) {
      now = second * 1_000;
      yield second === 20 ? output : { kind: "idle" };
    }
  }
  const sent: [at: number, event: string][] = [];
  for await (const event of eventStream(steps(), () => now)) sent.push([now, event]);
  expect(sent).toEqual([
    [0, "retry: 1000\n\n"],
    [15_000, ": nothing new\n\n"],
    [20_000, 'event: output\nid: 1:2\ndata: {"attempt":0,"text":"a\\n"}\n\n'],
    [35_000, ": nothing new\n\n"],
  ]);
});

it("cuts the same bytes out of a text however it comes", async () => {
  const part = fc.string({ unit: fc.constantFrom("a", "é", "🔔"), maxLength: 6 });
  const range = fc.oneof(
    fc.record({ suffix: fc.nat(60) }),
    fc.tuple(fc.nat(60), fc.nat(60)).map(([first, length]) => ({ first, last: first + length })),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(part), range, fc.boolean(), async (parts, asked, toEnd) => {
      const all = Buffer.from(parts.join(""));
      const { first, bytes, seen } = await cutRange(given(parts), asked, toEnd);
      const expected =
        "suffix" in asked
          ? all.subarray(Math.max(0, all.length - asked.suffix))
          : all.subarray(asked.first, asked.last + 1);
      expect(bytes).toEqual(expected);
      if (bytes.length > 0) expect(all.subarray(first, first + bytes.length)).toEqual(bytes);
      if (bytes.length === 0 || toEnd) expect(seen).toBe(all.length);
    }),
  );
});

it("holds 8 MiB at most", async () => {
  const parts = Array.from({ length: 12 }, () => "x".repeat(1_048_576));
  const cut = (header: string) => cutRange(given(parts), parseRange(header) ?? { suffix: 0 }, true);
  expect(await cut("bytes=5-")).toMatchObject({ first: 5, bytes: { length: MAX_RANGE_BYTES } });
  expect(await cut("bytes=-99999999")).toMatchObject({
    first: 4 * 1_048_576,
    bytes: { length: MAX_RANGE_BYTES },
  });
});
