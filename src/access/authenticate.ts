/** Looks up what a token lets its holder do, without a query for each call. */
import { createHash, timingSafeEqual } from "node:crypto";
import type { Deps } from "../deps.ts";
import type { Tx } from "../postgres/client.ts";
import { isDatabaseAway } from "../postgres/failures.ts";
import { type Grant, SCOPES } from "./rules/grants.ts";

/** How long a node believes what it has read: a token that is revoked on another one, or expires, works so long. */
const FRESH_MS = 1_000;

/** A token as it was read. */
export interface KnownToken {
  row: Promise<UsableToken | undefined>;
  /** By the clock of `performance`, in ms. */
  readAt: number;
}

/** What this token allows; undefined for one that is unknown, has expired or was revoked. */
export async function findGrant(deps: Deps, token: string): Promise<Grant | undefined> {
  const digest = createHash("sha256").update(token).digest();
  const row = await lookUp(deps, digest.toString("hex"));
  if (row === undefined || !timingSafeEqual(Buffer.from(row.hash, "hex"), digest)) return undefined;
  const { id, name, jobs } = row;
  return { id, name, jobs, scopes: SCOPES.filter((scope) => row.scopes.includes(scope)) };
}

/** Hands on what comes for as long as a token stands; asks again at each step, which costs a query a second at most. */
export async function* whileGranted<Step>(
  deps: Deps,
  token: string,
  steps: AsyncIterable<Step>,
): AsyncGenerator<Step> {
  for await (const step of steps) {
    if (!(await stands(deps, token))) return;
    yield step;
  }
}

async function stands(deps: Deps, token: string): Promise<boolean> {
  try {
    return (await findGrant(deps, token)) !== undefined;
  } catch (error) {
    // It is asked again when the database is back; until then there is nothing new to read either.
    if (isDatabaseAway(error)) return true;
    throw error;
  }
}

function lookUp(deps: Deps, hash: string): Promise<UsableToken | undefined> {
  const { knownTokens } = deps;
  const now = performance.now();
  const known = knownTokens.get(hash);
  if (known !== undefined && now - known.readAt < FRESH_MS) return known.row;
  const read: KnownToken = { readAt: now, row: readToken(deps, hash) };
  knownTokens.set(hash, read);
  const forget = () => {
    if (knownTokens.get(hash) === read) knownTokens.delete(hash);
  };
  // Strangers must not fill the memory, and what could not be read is not known.
  read.row.then((row) => row ?? forget(), forget);
  return read.row;
}

async function readToken({ db }: Deps, hash: string): Promise<UsableToken | undefined> {
  const row = await findUsableToken(db.prisma, hash);
  // Nobody waits for it; the next look tries again.
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
