/** Logins under way: no more at once from one address than may still fail, since all of them might. */

/**
 * Waits for a place among the logins from an address; resolves with what gives it back.
 * @param mayFail how many from there may still fail; asked again whenever one has ended, and may refuse by throwing
 */
export type BeginLogin = (from: string, mayFail: () => Promise<number>) => Promise<() => void>;

/** The places of all addresses. */
export function loginAttempts(): BeginLogin {
  const underWay = new Map<string, Set<Promise<void>>>();
  return async (from, mayFail) => {
    for (;;) {
      const most = await mayFail();
      const others = underWay.get(from) ?? new Set();
      if (others.size < most) {
        const { promise, resolve } = Promise.withResolvers<void>();
        underWay.set(from, others.add(promise));
        return () => {
          others.delete(promise);
          if (others.size === 0) underWay.delete(from);
          resolve();
        };
      }
      await Promise.race(others);
    }
  };
}
