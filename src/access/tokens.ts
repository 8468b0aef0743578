/** Tokens: reads or makes the admin token; creates, lists and revokes the others. */
import { createHash, randomBytes } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { CarillonError, invalidDocument, OperatorError } from "../errors.ts";
import { liveJobIds } from "../jobs/find.ts";
import { type Database, databaseNow, type Tx } from "../postgres/client.ts";
import type { Prisma } from "../postgres/generated/client.ts";
import { newId } from "../postgres/ids.ts";
import { audit } from "./audit.ts";
import type { Authenticator } from "./authenticate.ts";
import { ADMIN, type Caller, type Scope } from "./rules/grants.ts";

const BYTES = 32;

/** A new token: 256 random bits after a prefix, by which scanners find leaked tokens. */
function newToken(): string {
  return `crl_${randomBytes(BYTES).toString("base64url")}`;
}

/** A token to make. */
export interface TokenRequest {
  name: string;
  scopes: readonly Scope[];
  /** Limits `trigger` to these; unset: all. */
  jobs?: readonly string[] | undefined;
  /** When it expires: at a time, or after so many ms; unset: never. */
  expiry?: { at: Date } | { inMs: number } | undefined;
}

/**
 * Creates a token. It cannot be read again, since only its hash is stored. Throws token_exists, and invalid_document
 * for the name `admin`, unknown jobs and an expiry in the past.
 */
export async function createToken(
  db: Database,
  caller: Caller,
  { name, scopes, jobs = [], expiry }: TokenRequest,
): Promise<{ token: string; row: TokenRow }> {
  if (name === ADMIN)
    throw invalidDocument([{ path: "name", message: `${ADMIN} is reserved for the admin token` }]);
  const token = newToken();
  const hash = createHash("sha256").update(token).digest("hex");
  const row = await db.transaction(async (tx) => {
    await requireJobs(tx, jobs);
    const createdAt = await databaseNow(tx);
    const expiresAt = expiryAt(expiry, createdAt);
    const made = {
      ...{ id: newId(), name, hash, scopes: [...scopes], jobs: [...jobs] },
      ...{ createdBy: caller.name, createdAt, expiresAt },
    };
    if (!(await insertToken(tx, made))) {
      throw new CarillonError(
        "token_exists",
        `The token ${name} already exists: delete it first, or choose another name.`,
      );
    }
    await audit(tx, caller, "token.create", name, {
      scopes,
      jobs,
      expires_at: expiresAt?.toISOString() ?? null,
    });
    return { ...made, lastUsedAt: null };
  });
  return { token, row };
}

/** Reads tokens in the order of their names, expired ones included. */
export async function readTokens(
  db: Database,
  page: { after: string | undefined; limit: number },
): Promise<TokenRow[]> {
  return db.prisma.token.findMany({
    where: page.after === undefined ? {} : { name: { gt: page.after } },
    orderBy: { name: "asc" },
    take: page.limit,
  });
}

/** Throws token_not_found. */
export async function readToken(db: Database, name: string): Promise<TokenRow> {
  const row = await db.prisma.token.findUnique({ where: { name } });
  if (row === null) throw tokenNotFound(name);
  return row;
}

/** Revokes a token: at once on this node, within a second on the others. Throws token_not_found. */
export async function deleteToken(
  db: Database,
  caller: Caller,
  name: string,
  { authenticator }: { authenticator: Authenticator },
): Promise<void> {
  const hash = await db.transaction(async (tx) => {
    const deleted = await deleteTokenRow(tx, name);
    if (deleted === undefined) throw tokenNotFound(name);
    await audit(tx, caller, "token.delete", name);
    return deleted;
  });
  authenticator.forget(hash);
}

/** Refuses unknown jobs: a token for a misspelt job would be useless. */
async function requireJobs(tx: Tx, jobs: readonly string[]): Promise<void> {
  const known = await liveJobIds(tx, jobs);
  const unknown = jobs.flatMap((job, index) =>
    known.has(job) ? [] : [{ path: `jobs.${index}`, message: `there is no job ${job}` }],
  );
  if (unknown.length > 0) throw invalidDocument(unknown);
}

function expiryAt(expiry: TokenRequest["expiry"], now: Date): Date | null {
  if (expiry === undefined) return null;
  if ("inMs" in expiry) return new Date(now.getTime() + expiry.inMs);
  if (expiry.at > now) return expiry.at;
  throw invalidDocument([{ path: "expires_at", message: "is in the past" }]);
}

function tokenNotFound(name: string): CarillonError {
  return new CarillonError("token_not_found", `There is no token ${name}.`);
}

export type TokenRow = Prisma.TokenGetPayload<object>;

/** Inserts a token; returns false when the name is taken. */
async function insertToken(tx: Tx, token: Omit<TokenRow, "lastUsedAt">): Promise<boolean> {
  const { count } = await tx.token.createMany({ data: [token], skipDuplicates: true });
  return count > 0;
}

/** Deletes a token; returns its hash, or undefined when there is no token of this name. */
async function deleteTokenRow(tx: Tx, name: string): Promise<string | undefined> {
  const [row] = await tx.$queryRaw<{ hash: string }[]>`DELETE FROM token WHERE name = ${name} RETURNING hash`;
  return row?.hash;
}

export interface AdminToken {
  token: string;
  /** The file that holds it; undefined when it comes from the environment. */
  file: string | undefined;
}

/**
 * Returns the given token, or that of a file in `dataDir`; makes the file, for our own user only, when there is none.
 */
export async function adminToken(given: string | undefined, dataDir: string): Promise<AdminToken> {
  if (given !== undefined) return { token: given, file: undefined };
  const file = join(dataDir, "admin-token");
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  try {
    // Fails when the file exists, so processes that start together use the same token.
    await writeFile(file, `${newToken()}\n`, { mode: 0o600, flag: "wx" });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
  const token = (await readFile(file, "utf8")).trim();
  if (token === "")
    throw new OperatorError(`${file} is empty: delete it, and the next start makes a new token`);
  return { token, file };
}
