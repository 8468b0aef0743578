/** So much at once and no more, in order, whatever fails. */
import { expect, it } from "vitest";
import { createGate } from "../../src/worker/gate.ts";

it("lets so many in at once, the others in their order, and also after one that failed", async () => {
  const gate = createGate(2);
  const begun: number[] = [];
  const ends = Array.from({ length: 5 }, () => Promise.withResolvers<number>());
  const all = ends.map(({ promise }, n) =>
    gate(() => {
      begun.push(n);
      return promise;
    }),
  );
  const settled = Promise.allSettled(all);
  expect(begun).toEqual([0, 1]);
  ends[1]?.reject(new Error("failed"));
  await expect(all[1]).rejects.toThrow("failed");
  await expect.poll(() => begun).toEqual([0, 1, 2]);
  for (const [n, { resolve }] of ends.entries()) resolve(n);
  expect((await settled).map((one) => one.status === "fulfilled" && one.value)).toEqual([0, false, 2, 3, 4]);
  expect(begun).toEqual([0, 1, 2, 3, 4]);
});
