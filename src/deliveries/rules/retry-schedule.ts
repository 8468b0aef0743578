/** Decides when a failed delivery is tried again. */

/** Delays before each try of a delivery, in ms (promise 6). */
export const DELIVERY_DELAYS_MS: readonly number[] = [
  0, 5_000, 30_000, 300_000, 1_800_000, 7_200_000, 18_000_000, 36_000_000, 36_000_000,
];
const JITTER = 0.2;

/**
 * Returns the delay in ms after `tries` failed tries, varied by up to 20 % either way; undefined when there is none left.
 * @param random a number in [0, 1)
 */
export function deliveryDelayMs(
  tries: number,
  random: number,
  delays: readonly number[] = DELIVERY_DELAYS_MS,
): number | undefined {
  const delay = delays[tries];
  return delay === undefined ? undefined : Math.round(delay * (1 + JITTER * (2 * random - 1)));
}
