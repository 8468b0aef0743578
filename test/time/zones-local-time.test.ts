/** Tests of local times: each names the same instant as its slot. */
import fc from "fast-check";
import { expect, it } from "vitest";
import { formatLocalTime } from "../../src/time/zones.ts";

it.each([
  ["2026-03-29T00:59:59Z", "Europe/Brussels", "2026-03-29T01:59:59+01:00"],
  ["2026-03-29T01:00:00Z", "Europe/Brussels", "2026-03-29T03:00:00+02:00"],
  ["2026-07-01T00:00:00Z", "America/St_Johns", "2026-06-30T21:30:00-02:30"],
  ["2026-01-01T00:00:00Z", "UTC", "2026-01-01T00:00:00+00:00"],
])("%s in %s is %s", (instant, zone, local) => {
  expect(formatLocalTime(new Date(instant), zone)).toBe(local);
});

it("names the same instant in any zone", () => {
  const second = fc.integer({ min: 946_684_800, max: 4_102_444_800 });
  fc.assert(
    fc.property(second, fc.constantFrom(...Intl.supportedValuesOf("timeZone")), (seconds, zone) => {
      expect(new Date(formatLocalTime(new Date(seconds * 1_000), zone)).getTime()).toBe(seconds * 1_000);
    }),
  );
});
