/** Finds the grant of a token, without a query for each call. */
import { createHash, timingSafeEqual } from "node:crypto";
import type { Database, Tx } from "../postgres/client.ts";
import { isTransient } from "../postgres/failures.ts";
import { type Grant, SCOPES } from "./rules/grants.ts";

/**
 * How long a cached token is used (ms). A token that expires, or is revoked on another node, works this much longer at
 * most.
 */
const FRESH_MS = 1_000;

/** Knows which tokens are valid; one for each process. */
export interface Authenticator {
  /** The grant of a token; undefined when the token is unknown, expired or revoked. */
  findGrant(token: string): Promise<Grant | undefined>;
  /** Yields `steps` while a token is valid. Each step is checked, which costs at most one query a second. */
  whileGranted<Step>(token: string, steps: AsyncIterable<Step>): AsyncGenerator<Step>;
  /** Drops the token with this hash (SHA-256, hex) from the cache: it has been revoked. */
  forget(hash: string): void;
}

/** A cache entry. */
interface CachedToken {
  row: Promise<UsableToken | undefined>;
  /** By the clock of `performance`, in ms. */
  readAt: number;
}

/** Makes an authenticator with an empty cache. */
export function createAuthenticator(db: Database): Authenticator {
  const cache = new Map<string, CachedToken>();

  function lookUp(hash: string): Promise<UsableToken | undefined> {
    const now = performance.now();
    const cached = cache.get(hash);
    if (cached !== undefined && now - cached.readAt < FRESH_MS) return cached.row;
    const read: CachedToken = { readAt: now, row: readUsableToken(db, hash) };
    cache.set(hash, read);
    const forget = () => {
      if (cache.get(hash) === read) cache.delete(hash);
    };
    // Unknown tokens must not fill the memory, and a failed query says nothing about the token.
    read.row.then((row) => row ?? forget(), forget);
    return read.row;
  }

  async function findGrant(token: string): Promise<Grant | undefined> {
    const digest = createHash("sha256").update(token).digest();
    const row = await lookUp(digest.toString("hex"));
    if (row === undefined || !timingSafeEqual(Buffer.from(row.hash, "hex"), digest)) return undefined;
    const { id, name, jobs } = row;
    return { id, name, jobs, scopes: SCOPES.filter((scope) => row.scopes.includes(scope)) };
  }

  async function isValid(token: string): Promise<boolean> {
    try {
      return (await findGrant(token)) !== undefined;
    } catch (error) {
      // Without the database there is nothing new to yield; the next step checks again.
      if (isTransient(error)) return true;
      throw error;
    }
  }

  return {
    findGrant,
    async *whileGranted(token, steps) {
      for await (const step of steps) {
        if (!(await isValid(token))) return;
        yield step;
      }
    },
    forget: (hash) => void cache.delete(hash),
  };
}

async function readUsableToken(db: Database, hash: string): Promise<UsableToken | undefined> {
  const row = await findUsableToken(db.prisma, hash);
  // The call does not wait for this. After an error, the next look-up tries again.
  if (row?.isUseOutdated) recordUse(db.prisma, row.id).catch(() => undefined);
  return row;
}

/** A valid token. */
export interface UsableToken {
  id: string;
  name: string;
  hash: string;
  scopes: string[];
  jobs: string[];
  /** Its last use was recorded more than a minute ago, or never. */
  isUseOutdated: boolean;
}

/** The token with this hash (SHA-256, hex) unless it has expired by the database's clock. */
export async function findUsableToken(tx: Tx, hash: string): Promise<UsableToken | undefined> {
  const [row] = await tx.$queryRaw<UsableToken[]>`
    SELECT id, name, hash, scopes, jobs,
      last_used_at IS NULL OR last_used_at < now() - interval '1 minute' AS "isUseOutdated"
    FROM token WHERE hash = ${hash} AND (expires_at IS NULL OR expires_at > now())`;
  return row;
}

/** Records that a token was used now, unless a use was recorded within the last minute. */
export async function recordUse(tx: Tx, id: string): Promise<void> {
  await tx.$executeRaw`
    UPDATE token SET last_used_at = now()
    WHERE id = ${id}::uuid AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')`;
}
