/** Tokens and secrets as the API answers them, without their values. */
import type { z } from "zod";
import type { Scope } from "../../access/rules/grants.ts";
import type { ListedSecret } from "../../access/secrets.ts";
import type { TokenRequest, TokenRow } from "../../access/tokens.ts";
import type { newTokenSchema, secretSchema, tokenSchema } from "../schemas/credentials.ts";

/** A secret on the wire. */
export function secretView({ name, createdAt, updatedAt }: ListedSecret): z.input<typeof secretSchema> {
  return { name, created_at: createdAt.toISOString(), updated_at: updatedAt.toISOString() };
}

/** The token that a document asks for. */
export function tokenRequest({
  expires_in: inMs,
  expires_at: at,
  ...asked
}: z.output<typeof newTokenSchema>): TokenRequest {
  if (inMs !== undefined) return { ...asked, expiry: { inMs } };
  return at === undefined ? asked : { ...asked, expiry: { at: new Date(at) } };
}

/** A token on the wire, without what it is known by. */
export function tokenView(row: TokenRow): z.input<typeof tokenSchema> {
  return {
    name: row.name,
    scopes: row.scopes as Scope[],
    jobs: row.jobs.length === 0 ? null : row.jobs,
    created_by: row.createdBy,
    created_at: row.createdAt.toISOString(),
    expires_at: row.expiresAt?.toISOString() ?? null,
    last_used_at: row.lastUsedAt?.toISOString() ?? null,
  };
}
