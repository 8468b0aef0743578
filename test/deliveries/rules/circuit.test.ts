/** When a host counts as down, when it is tried again, and when it counts as up. */
import { expect, it } from "vitest";
import { afterTry, type Circuit, CLOSED, isHostUp } from "../../../src/deliveries/rules/circuit.ts";

/** The circuit after tries that each begin at once and last 10 ms; `.` is a success and `x` a failure. */
function after(tries: string): Circuit {
  let [circuit, now] = [CLOSED, 0];
  for (const one of tries) {
    const startedAt = Math.max(now, circuit.open?.probeAt ?? 0);
    now = startedAt + 10;
    circuit = afterTry(circuit, one === ".", startedAt, now);
  }
  return circuit;
}

it.each([
  ["", 0, undefined],
  ["xxxx", 4, undefined],
  ["xxxx.xxxx", 4, undefined],
  ["xxxxx", 5, 1_000],
  ["xxxxxx", 6, 2_000],
  ["xxxxxxx", 7, 4_000],
  ["xxxxxxxxx", 9, 16_000],
  ["xxxxxxxxxx", 10, 30_000],
  ["xxxxxxxxxxxxxxxx", 16, 30_000],
  ["xxxxx.", 0, undefined],
  ["xxxxx.xxxx", 4, undefined],
  ["xxxxxxxx.xxxxx", 5, 1_000],
])("after %j there are %i failures in a row, and the wait is %s ms", (tries, failures, waitMs) => {
  const { failures: counted, open } = after(tries);
  expect([counted, open?.waitMs]).toEqual([failures, waitMs]);
  if (open) expect(open.probeAt - open.since).toBe(waitMs);
});

it("does not count tries that began before the circuit opened, but a success among them closes it", () => {
  const open = after("xxxxx");
  expect(afterTry(open, false, 0, 5_000)).toBe(open);
  expect(afterTry(open, true, 0, 5_000)).toEqual(CLOSED);
});

it.each([
  [{ outcome: "answered", status: 200 } as const, true],
  [{ outcome: "answered", status: 302 } as const, true],
  [{ outcome: "answered", status: 404 } as const, true],
  [{ outcome: "answered", status: 429 } as const, true],
  [{ outcome: "answered", status: 500 } as const, true],
  [{ outcome: "answered", status: 502 } as const, false],
  [{ outcome: "answered", status: 503 } as const, false],
  [{ outcome: "answered", status: 504 } as const, false],
  [{ outcome: "failed" } as const, false],
  [{ outcome: "blocked" } as const, undefined],
])("%j says about the host: %s", (result, isUp) => {
  expect(isHostUp(result)).toBe(isUp);
});
