/** Tests of where the lines of an output begin, against a split of its text. */
import fc from "fast-check";
import { expect, it } from "vitest";
import { createLineFinder } from "../../../src/logs/rules/lines.ts";
import { omittedLine } from "../../../src/logs/rules/output.ts";

const linesOf = (text: string) => text.match(/[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+$/g) ?? [];

it("finds the last lines of any text, however it arrives", () => {
  const text = fc.string({ unit: fc.constantFrom("a", "\n", "\r", "\r\n"), maxLength: 30 });
  fc.assert(
    fc.property(text, fc.integer({ min: 1, max: 7 }), fc.nat(6), (output, size, most) => {
      const finder = createLineFinder(most);
      const bytes = Buffer.from(output);
      for (let at = 0; at < bytes.length; at += size) finder.add(bytes.subarray(at, at + size), 0);
      const lines = linesOf(output);
      const wanted = Math.min(most, lines.length);
      expect(finder.starts()).toHaveLength(wanted);
      expect(finder.end()).toBe(bytes.length);
      const first = finder.starts()[0];
      if (first !== undefined) expect(output.slice(first)).toBe(lines.slice(-wanted).join(""));
    }),
  );
});

it("counts the mark of a gap, so that never more lines are shown than were asked for", () => {
  const text = fc.string({ unit: fc.constantFrom("a", "\n"), minLength: 1, maxLength: 12 });
  fc.assert(
    fc.property(text, text, fc.integer({ min: 1, max: 9 }), (before, after, most) => {
      const finder = createLineFinder(most);
      finder.add(Buffer.from(before), 0);
      finder.add(Buffer.from(after), 3);
      const first = finder.starts()[0] ?? 0;
      const shown =
        first < before.length
          ? before.slice(first) + omittedLine(3) + after
          : after.slice(first - before.length - 3);
      expect(linesOf(shown).length).toBeLessThanOrEqual(most);
      const all = linesOf(before + omittedLine(3) + after);
      if (most >= all.length) expect(first).toBe(0);
      if (most <= linesOf(after).length) expect(linesOf(shown)).toHaveLength(most);
    }),
  );
});
