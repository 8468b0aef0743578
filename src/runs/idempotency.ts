/** Idempotency keys: the same key with the same trigger gives the same run for a day. */
import { createHash } from "node:crypto";
import { ADMIN, type Caller } from "../access/rules/grants.ts";
import type { Tx } from "../postgres/client.ts";
import type { ApiTrigger } from "./trigger.ts";

/** Callers have keys of their own, so that none gets another one's run; keys that are sent have no space in them. */
export function keyOf(caller: Caller, { idempotencyKey: key }: ApiTrigger): string | undefined {
  if (key === undefined || caller.id === ADMIN) return key;
  return `${caller.id} ${key}`;
}

/** What a trigger asks for, as a digest: env in any order is the same. */
export function fingerprintOf({ job, triggeredBy, env = {}, events }: ApiTrigger): string {
  const asked = [job, triggeredBy ?? null, Object.entries(env).sort(), events ?? true];
  return createHash("sha256").update(JSON.stringify(asked)).digest("hex");
}

/** How long a key stands for its run: DESIGN 5. */
const KEPT_MS = 24 * 3_600_000;

/** Lets one transaction at a time work with a key; answers the run that it stands for, if it does. */
export async function lockKey(
  tx: Tx,
  key: string,
  now: Date,
): Promise<{ runId: string; fingerprint: string } | undefined> {
  await tx.$queryRaw`SELECT pg_advisory_xact_lock(hashtextextended(${`idempotency ${key}`}, 0))::text`;
  const since = new Date(now.getTime() - KEPT_MS);
  await tx.idempotencyKey.deleteMany({ where: { key, createdAt: { lt: since } } });
  return (await tx.idempotencyKey.findUnique({ where: { key } })) ?? undefined;
}

/** Lets a key stand for a run from now on. */
export async function insertKey(
  tx: Tx,
  key: { key: string; fingerprint: string; runId: string; createdAt: Date },
): Promise<void> {
  await tx.idempotencyKey.create({ data: key });
}

/** Deletes up to `limit` keys that are too old to stand for anything; answers how many. */
export async function deleteOldKeys(tx: Tx, now: Date, limit: number): Promise<number> {
  return tx.$executeRaw`
    DELETE FROM idempotency_key WHERE key IN (
      SELECT key FROM idempotency_key WHERE created_at < ${new Date(now.getTime() - KEPT_MS)} ORDER BY created_at LIMIT ${limit})`;
}
