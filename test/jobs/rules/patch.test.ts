/** Tests of merge patches by RFC 7396. */
import fc from "fast-check";
import { expect, it } from "vitest";
import { documentDiff } from "../../../src/jobs/rules/changes.ts";
import { mergePatch } from "../../../src/jobs/rules/patch.ts";

it.each([
  [{ a: "b" }, { a: "c" }, { a: "c" }],
  [{ a: "b" }, { b: "c" }, { a: "b", b: "c" }],
  [{ a: "b", b: "c" }, { a: null }, { b: "c" }],
  [{ a: ["b"] }, { a: "c" }, { a: "c" }],
  [{ a: "c" }, { a: ["b"] }, { a: ["b"] }],
  [{ a: { b: "c" } }, { a: { b: "d", c: null } }, { a: { b: "d" } }],
  [{ a: [{ b: "c" }] }, { a: [1] }, { a: [1] }],
  [{ a: "foo" }, "bar", "bar"],
  [{ e: null }, { a: 1 }, { e: null, a: 1 }],
  [[1, 2], { a: "b", c: null }, { a: "b" }],
  [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
])("%j patched with %j is %j", (target, patch, expected) => {
  const copy = structuredClone(target);
  expect(mergePatch(target, patch)).toEqual(expected);
  expect(target).toEqual(copy);
});

it("finds a difference exactly when a patch changed something", () => {
  const value = fc.oneof(fc.nat(9), fc.string(), fc.array(fc.nat(3)));
  const document = fc.dictionary(
    fc.constantFrom("a", "b", "c"),
    fc.oneof(value, fc.dictionary(fc.constantFrom("x", "y"), value)),
  );
  fc.assert(
    fc.property(document, document, (before, patch) => {
      const after = mergePatch(before, patch);
      const isSame = documentDiff(before, after).length === 0;
      expect(isSame).toBe(documentDiff(after, before).length === 0);
      if (isSame) expect(after).toEqual(before);
      else expect(after).not.toEqual(before);
    }),
  );
});
