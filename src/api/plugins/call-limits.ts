/** How often who may call: so many calls a second for each token, and few wrong tokens from one address. */
import { createHash } from "node:crypto";
import rateLimit, { normalizeIP } from "@fastify/rate-limit";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { CarillonError } from "../../errors.ts";

declare module "fastify" {
  interface FastifyContextConfig {
    /** Answers at any rate and under any pressure, as a probe of life must. */
    unlimited?: boolean;
  }
}

export interface CallLimits {
  /** Calls a second on average for one token, or for one address where no token is sent; default 1,000. */
  callsPerSecond?: number;
  /** Wrong tokens a minute from one address; default 5. */
  failedLogins?: number;
}

/** What a call comes with. */
export interface Caller {
  /** IP address. */
  address: string;
  /** The token that it sent, be it right or wrong. */
  credential: string | undefined;
}

/** Lets a call in once `login` has; throws what login throws, or `rate_limited`. */
export type Admission = (
  request: FastifyRequest,
  reply: FastifyReply,
  caller: Caller,
  login: () => void | Promise<void>,
) => Promise<void>;

/** Averaged over this time (s), so that a burst may be ten times as fast. */
const WINDOW_S = 10;
const LOGIN_WINDOW_MS = 60_000;
const REMEMBERED_LOGINS = 1_000;

type Limiter = ReturnType<FastifyInstance["createRateLimit"]>;
type Count = (request: FastifyRequest, key: string, increment: boolean) => ReturnType<Limiter>;

/** Registers the counters. */
export async function limitCalls(app: FastifyInstance, limits: CallLimits = {}): Promise<Admission> {
  const { callsPerSecond = 1_000, failedLogins = 5 } = limits;
  await app.register(rateLimit, { global: false });
  const countCall = counter(app, callsPerSecond * WINDOW_S, WINDOW_S * 1_000);
  const countFailure = counter(app, failedLogins, LOGIN_WINDOW_MS);
  const known = new Set<string>();
  const beginLogin = loginAttempts();

  const enter: Admission = async (request, reply, { address, credential }, login) => {
    const from = normalizeIP(address);
    const key = `${from} ${digest(credential ?? "")}`;
    const mayFail = async () => {
      // Where one client behind a shared address fails, those who had got in from there go on.
      if (known.has(key)) return Number.POSITIVE_INFINITY;
      const failures = await countFailure(request, from, false);
      if (failures.isAllowed) return failedLogins;
      if (failures.remaining > 0) return failures.remaining;
      throw limited(reply, failures.ttlInSeconds, "Too many wrong tokens came from this address");
    };
    const end = known.has(key) ? undefined : await beginLogin(from, mayFail);
    try {
      await login();
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
  };

  return async (request, reply, caller, login) => {
    const { unlimited = false, public: isPublic = false } = request.routeOptions.config;
    if (unlimited) return login();
    const sent = isPublic ? undefined : caller.credential;
    if (sent !== undefined) await enter(request, reply, caller, login);
    const calls = await countCall(
      request,
      sent === undefined ? normalizeIP(caller.address) : digest(sent),
      true,
    );
    if (!calls.isAllowed && calls.isExceeded) {
      throw limited(reply, calls.ttlInSeconds, `At most ${callsPerSecond} calls a second are answered`);
    }
    if (sent === undefined) await login();
  };
}

/** Counts by a key that is handed in, since only the caller of the counter knows it. */
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
  return new CarillonError("rate_limited", `${detail}: come back in ${seconds} s`);
}

/** Keeps the latest pairs of address and token that were let in. */
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
  return createHash("sha256").update(text).digest("base64");
}

/**
 * Waits for a place among the logins from an address; resolves with what gives it back.
 * @param mayFail how many from there may still fail; asked again whenever one has ended, and may refuse by throwing
 */
export type BeginLogin = (from: string, mayFail: () => Promise<number>) => Promise<() => void>;

/** The places of all addresses. */
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
