/** Converts tokens and secrets to responses, without their values. */
import type { z } from "zod";
import type { Scope } from "../../access/rules/grants.ts";
import type { ListedSecret } from "../../access/secrets.ts";
import type { TokenRequest, TokenRow } from "../../access/tokens.ts";
import type { newTokenSchema, secretSchema, tokenSchema } from "../schemas/credentials.ts";

/** Returns a secret without its value. */
export function secretView({ name, createdAt, updatedAt }: ListedSecret): z.input<typeof secretSchema> {
  return { name, created_at: createdAt.toISOString(), updated_at: updatedAt.toISOString() };
}

/** Converts a request body to the token to create. */
export function tokenRequest({
  expires_in: inMs,
  expires_at: at,
  ...request
}: z.output<typeof newTokenSchema>): TokenRequest {
  if (inMs !== undefined) return { ...request, expiry: { inMs } };
  return at === undefined ? request : { ...request, expiry: { at: new Date(at) } };
}

/** Returns a token without its value or hash. */
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
