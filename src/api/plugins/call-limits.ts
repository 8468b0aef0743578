/** Limits the calls per second of each token, and the wrong tokens from each address. */
import { hash } from "node:crypto";
import rateLimit, { normalizeIP } from "@fastify/rate-limit";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { CarillonError, sentence } from "../../errors.ts";
import { type Authentication, readCredential } from "./authentication.ts";

declare module "fastify" {
  interface FastifyContextConfig {
    /** No rate or load limit applies; for liveness probes. */
    unlimited?: boolean;
  }
}

export interface CallLimits {
  /** Average calls per second of one token, or of one address that sends no token; default 1,000. */
  callsPerSecond?: number;
  /** Wrong tokens per minute from one address; default 5. */
  failedLogins?: number;
}

/** The averaging window (s): a burst of one second may be ten times as fast. */
const WINDOW_S = 10;
const LOGIN_WINDOW_MS = 60_000;
const REMEMBERED_LOGINS = 1_000;

type Limiter = ReturnType<FastifyInstance["createRateLimit"]>;
type Count = (request: FastifyRequest, key: string, increment: boolean) => ReturnType<Limiter>;

/** Authenticates each call, and answers 429 `rate_limited` to calls beyond the limits. */
export async function limitCalls(
  app: FastifyInstance,
  { callsPerSecond = 1_000, failedLogins = 5, authenticate }: CallLimits & { authenticate: Authentication },
): Promise<void> {
  await app.register(rateLimit, { global: false });
  const countCall = counter(app, callsPerSecond * WINDOW_S, WINDOW_S * 1_000);
  const countFailure = counter(app, failedLogins, LOGIN_WINDOW_MS);
  const known = new Set<string>();
  const beginLogin = loginAttempts();

  async function logIn(request: FastifyRequest, reply: FastifyReply, tokenDigest: string): Promise<void> {
    const from = normalizeIP(request.clientAddress);
    const key = `${from} ${tokenDigest}`;
    const mayFail = async () => {
      // Wrong tokens of one client do not block others behind the same address that were admitted before.
      if (known.has(key)) return Number.POSITIVE_INFINITY;
      const failures = await countFailure(request, from, false);
      if (failures.isAllowed) return failedLogins;
      if (failures.remaining > 0) return failures.remaining;
      throw limited(reply, failures.ttlInSeconds, "Too many wrong tokens came from this address");
    };
    const end = known.has(key) ? undefined : await beginLogin(from, mayFail);
    try {
      await authenticate(request, reply);
      remember(known, key);
    } catch (error) {
      if (isWrongToken(error)) {
        known.delete(key);
        await countFailure(request, from, true);
      }
      throw error;
    } finally {
      end?.();
    }
  }

  app.addHook("onRequest", async (request, reply) => {
    const { unlimited = false, public: isPublic = false } = request.routeOptions.config;
    if (unlimited) return authenticate(request, reply);
    const token = isPublic ? undefined : readCredential(request);
    const tokenDigest = token === undefined ? undefined : digest(token);
    if (tokenDigest !== undefined) await logIn(request, reply, tokenDigest);
    const key = tokenDigest ?? normalizeIP(request.clientAddress);
    const calls = await countCall(request, key, true);
    if (!calls.isAllowed && calls.isExceeded) {
      throw limited(reply, calls.ttlInSeconds, `The limit is ${callsPerSecond} calls per second`);
    }
    if (tokenDigest === undefined) await authenticate(request, reply);
  });
}

/** Creates a counter that takes its key from the caller. */
function counter(app: FastifyInstance, max: number, timeWindow: number): Count {
  const keys = new WeakMap<FastifyRequest, string>();
  const limiter = app.createRateLimit({
    max,
    timeWindow,
    keyGenerator: (request) => keys.get(request) ?? "",
  });
  return (request, key, increment) => {
    keys.set(request, key);
    return limiter(request, { increment });
  };
}

function limited(reply: FastifyReply, seconds: number, detail: string): CarillonError {
  reply.header("retry-after", seconds);
  return new CarillonError("rate_limited", sentence(`${detail}: try again in ${seconds} s`));
}

/** Keeps the latest admitted pairs of address and token. */
function remember(known: Set<string>, key: string): void {
  known.delete(key);
  known.add(key);
  const [oldest] = known;
  if (known.size > REMEMBERED_LOGINS && oldest !== undefined) known.delete(oldest);
}

function isWrongToken(error: unknown): boolean {
  return error instanceof CarillonError && error.code === "unauthorized";
}

function digest(text: string): string {
  return hash("sha256", text, "base64");
}

/**
 * Waits until a login from an address may begin; resolves with a function that ends it.
 * @param mayFail returns how many more logins from the address may fail; called again after each login that ends.
 *   It may throw to refuse the login
 */
export type BeginLogin = (from: string, mayFail: () => Promise<number>) => Promise<() => void>;

/** Limits the concurrent logins of each address. */
function loginAttempts(): BeginLogin {
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
