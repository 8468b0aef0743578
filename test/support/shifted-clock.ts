/** Loaded into a service before it starts: with each SIGUSR2 its clock takes the next of the shifts in CLOCK_SHIFTS_MS. */

// A step of the machine's own clock would move all other processes too. Timers follow the monotonic clock, as always.
const RealDate = Date;
const shifts = (process.env["CLOCK_SHIFTS_MS"] ?? "").split(",").map(Number);
let shiftMs = 0;

class ShiftedDate extends RealDate {
  constructor(...given: unknown[]) {
    if (given.length === 0) super(ShiftedDate.now());
    // The other forms do not read the clock.
    else super(...(given as [number]));
  }
  static override now(): number {
    return RealDate.now() + shiftMs;
  }
  static override [Symbol.hasInstance](value: unknown): boolean {
    return value instanceof RealDate;
  }
}
globalThis.Date = ShiftedDate as DateConstructor;
process.on("SIGUSR2", () => {
  shiftMs = shifts.shift() ?? shiftMs;
});
