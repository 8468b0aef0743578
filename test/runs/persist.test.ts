/** What counts as a refusal of the database, and what is waited out. */
import { expect, it, vi } from "vitest";
import { ClaimLost } from "../../src/queue/queue.ts";
import { persist, type Refusal, reductionOf } from "../../src/runs/persist.ts";
import { SETTLE_TRIES } from "../../src/runs/rules/reduction.ts";

const withCode = (code: string) => Object.assign(new Error("query\n\nvalue out of range"), { code });

/** The refusals that each try was told of, when tries fail with these codes and then succeed. */
async function refusalsAfter(codes: readonly string[]): Promise<(number | undefined)[]> {
  vi.useFakeTimers({ toFake: ["setTimeout"] });
  try {
    const told: (Refusal | undefined)[] = [];
    const left = [...codes];
    const done = persist(
      async (refusal) => {
        told.push(refusal);
        const code = left.shift();
        if (code !== undefined) throw withCode(code);
      },
      () => true,
      { tries: SETTLE_TRIES, failed: () => undefined },
    );
    await vi.runAllTimersAsync();
    await done;
    return told.map((refusal) => refusal?.count);
  } finally {
    vi.useRealTimers();
  }
}

it("does not count a database that is away or busy, or a conflict", async () => {
  const waited = ["08006", "57P01", "55P03", "57014", "25P03", "P2028", "40P01", "40001"];
  expect(await refusalsAfter(waited)).toEqual([...waited, ""].map(() => undefined));
  expect(await refusalsAfter(["22003", "55P03", "22003"])).toEqual([undefined, 1, 1, 2]);
});

it("names the message of the database, without the query, and cuts it", () => {
  const why = "the database refused the result: value out of range";
  expect(reductionOf({ count: 5, error: withCode("22003") })).toEqual({ without: "log", why });
  const long = reductionOf({ count: 6, error: new Error("x".repeat(9_000)) });
  expect(long?.why).toHaveLength("the database refused the result: ".length + 300);
});

it("ends when the claim is lost", async () => {
  const lost = async () => {
    throw new ClaimLost("gone");
  };
  expect(await persist(lost, () => true, { tries: 1, failed: () => undefined })).toBeUndefined();
});
