/** Looks up what a token lets its holder do, without a query for each call. */
import { createHash, timingSafeEqual } from "node:crypto";
import type { Database, Tx } from "../postgres/client.ts";
import { isDatabaseAway } from "../postgres/failures.ts";
import { type Grant, SCOPES } from "./rules/grants.ts";

/** How long a node believes what it has read: a token that is revoked on another one, or expires, works so long. */
const FRESH_MS = 1_000;

/** Knows which tokens stand; one for a process. */
export interface Authenticator {
  /** What this token allows; undefined for one that is unknown, has expired or was revoked. */
  findGrant(token: string): Promise<Grant | undefined>;
  /** Hands on what comes while a token stands; asks again at each step, which costs one query a second at most. */
  whileGranted<Step>(token: string, steps: AsyncIterable<Step>): AsyncGenerator<Step>;
  /** Reads the token with this hash (SHA-256, hex) anew from now on: it has been revoked. */
  forget(hash: string): void;
}

/** A token as it was read. */
interface CachedToken {
  row: Promise<UsableToken | undefined>;
  /** By the clock of `performance`, in ms. */
  readAt: number;
}

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
    // Strangers must not fill the memory, and a failed query says nothing about the token.
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

  async function stands(token: string): Promise<boolean> {
    try {
      return (await findGrant(token)) !== undefined;
    } catch (error) {
      // The next step asks again; while the database is away, there is nothing new to read either.
      if (isDatabaseAway(error)) return true;
      throw error;
    }
  }

  return {
    findGrant,
    async *whileGranted(token, steps) {
      for await (const step of steps) {
        if (!(await stands(token))) return;
        yield step;
      }
    },
    forget: (hash) => void cache.delete(hash),
  };
}

async function readUsableToken(db: Database, hash: string): Promise<UsableToken | undefined> {
  const row = await findUsableToken(db.prisma, hash);
  // Nobody waits for it; the next look-up tries again.
  if (row?.unnoted) noteUse(db.prisma, row.id).catch(() => undefined);
  return row;
}

/** What a call with a token needs to know of it. */
export interface UsableToken {
  id: string;
  name: string;
  hash: string;
  scopes: string[];
  jobs: string[];
  /** Its last use was noted a minute ago, or never was. */
  unnoted: boolean;
}

/** The token with this hash (SHA-256, hex) unless it has expired by the database's clock. */
export async function findUsableToken(tx: Tx, hash: string): Promise<UsableToken | undefined> {
  const [row] = await tx.$queryRaw<UsableToken[]>`
    SELECT id, name, hash, scopes, jobs,
      last_used_at IS NULL OR last_used_at < now() - interval '1 minute' AS unnoted
    FROM token WHERE hash = ${hash} AND (expires_at IS NULL OR expires_at > now())`;
  return row;
}

/** Notes that a token is used now, unless another node has done so within this minute. */
export async function noteUse(tx: Tx, id: string): Promise<void> {
  await tx.$executeRaw`
    UPDATE token SET last_used_at = now()
    WHERE id = ${id}::uuid AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')`;
}
