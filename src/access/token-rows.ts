/** Queries of tokens: what their holders may do, and when they last did. */

import type { Tx } from "../postgres/client.ts";
import type { Prisma } from "../postgres/generated/client.ts";

export type TokenRow = Prisma.TokenGetPayload<object>;

/** Inserts a token; answers false when there is one of its name. */
export async function insertToken(tx: Tx, token: Omit<TokenRow, "lastUsedAt">): Promise<boolean> {
  const { count } = await tx.token.createMany({ data: [token], skipDuplicates: true });
  return count > 0;
}

/** The tokens by name, expired ones included. */
export async function listTokens(
  tx: Tx,
  page: { after: string | undefined; limit: number },
): Promise<TokenRow[]> {
  return tx.token.findMany({
    where: page.after === undefined ? {} : { name: { gt: page.after } },
    orderBy: { name: "asc" },
    take: page.limit,
  });
}

export async function findToken(tx: Tx, name: string): Promise<TokenRow | undefined> {
  return (await tx.token.findUnique({ where: { name } })) ?? undefined;
}

/** Deletes a token; answers its hash, or undefined when there is none of this name. */
export async function deleteTokenRow(tx: Tx, name: string): Promise<string | undefined> {
  const [row] = await tx.$queryRaw<{ hash: string }[]>`DELETE FROM token WHERE name = ${name} RETURNING hash`;
  return row?.hash;
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
