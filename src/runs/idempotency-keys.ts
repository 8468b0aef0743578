/** Idempotency keys: the same key with the same trigger is the same run for 24 hours (promise 2). */
import { createHash } from "node:crypto";
import { ADMIN, type Caller } from "../access/rules/grants.ts";
import type { SqlTx } from "../postgres/client.ts";
import { RowsChanged } from "../postgres/failures.ts";

/** A trigger by an API caller. */
export interface CallerTrigger {
  job: string;
  /** The caller's own label. */
  triggeredBy?: string | undefined;
  /** Added to the job's env; overrides its values. */
  env?: Readonly<Record<string, string>> | undefined;
  /** false: fire no actions. */
  events?: boolean | undefined;
  /** The same key with the same trigger returns the same run (promise 2). */
  idempotencyKey?: string | undefined;
}

/** A key as it is stored, and the hash of its trigger. */
export interface StoredKey {
  key: string;
  fingerprint: string;
}

/** The run that a key has. */
export interface KnownKey extends StoredKey {
  runId: string;
}

/** The key contains the caller, so that callers cannot collide; keys in requests contain no space. */
export function storedKey(caller: Caller, trigger: CallerTrigger): StoredKey | undefined {
  const { idempotencyKey: key } = trigger;
  if (key === undefined) return undefined;
  return { key: caller.id === ADMIN ? key : `${caller.id} ${key}`, fingerprint: fingerprintOf(trigger) };
}

/** A hash of the trigger, independent of the order of env. */
function fingerprintOf({ job, triggeredBy, env = {}, events }: CallerTrigger): string {
  const parts = [job, triggeredBy ?? null, Object.entries(env).sort(), events ?? true];
  return createHash("sha256").update(JSON.stringify(parts)).digest("hex");
}

/** How long a key is valid, in ms. */
const KEY_TTL_MS = 24 * 3_600_000;

/** The stored keys among `keys` that have not expired, by key. */
export async function findKeys(tx: SqlTx, keys: readonly StoredKey[]): Promise<Map<string, KnownKey>> {
  if (keys.length === 0) return new Map();
  const rows = await tx.$queryRaw<KnownKey[]>`
    SELECT key, fingerprint, run_id AS "runId" FROM idempotency_key
    WHERE key = ANY(${keys.map(({ key }) => key)}::text[]) AND created_at >= now() - ${KEY_TTL_MS} * interval '1 ms'`;
  return new Map(rows.map((row) => [row.key, row]));
}

/** Stores keys. Throws RowsChanged when another transaction has just stored one of them. */
export async function insertKeys(tx: SqlTx, keys: readonly KnownKey[], now: Date): Promise<void> {
  if (keys.length === 0) return;
  // In one order, so that two nodes with the same keys cannot deadlock. An expired key is used again.
  const inserted = await tx.$executeRaw`
    INSERT INTO idempotency_key (key, fingerprint, run_id, created_at)
    SELECT key, fingerprint, "runId", ${now}::timestamptz
    FROM jsonb_to_recordset(${JSON.stringify(keys)}::jsonb) AS new (key text, fingerprint text, "runId" uuid)
    ORDER BY key
    ON CONFLICT (key) DO UPDATE SET fingerprint = EXCLUDED.fingerprint, run_id = EXCLUDED.run_id, created_at = EXCLUDED.created_at
    WHERE idempotency_key.created_at < ${now}::timestamptz - ${KEY_TTL_MS} * interval '1 ms'`;
  if (inserted !== keys.length) throw new RowsChanged("another call has just used the same Idempotency-Key");
}

/** Deletes up to `limit` expired keys; returns how many. */
export async function deleteExpiredKeys(tx: SqlTx, now: Date, limit: number): Promise<number> {
  const since = new Date(now.getTime() - KEY_TTL_MS);
  return tx.$executeRaw`
    DELETE FROM idempotency_key WHERE key IN (
      SELECT key FROM idempotency_key WHERE created_at < ${since} ORDER BY created_at LIMIT ${limit})`;
}
