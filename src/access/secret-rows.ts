/** Queries of secrets: their rows, and who uses them. */

import { secretTarget } from "../jobs/rules/definition.ts";
import type { Tx } from "../postgres/client.ts";
import type { Prisma } from "../postgres/generated/client.ts";
import type { Sealed } from "./secret-keys.ts";

/** What anybody may know of a secret. */
export interface ListedSecret {
  name: string;
  createdAt: Date;
  updatedAt: Date;
}

export type SecretRow = Prisma.SecretGetPayload<object>;

/** The secrets of these names, or all, by name. */
export async function findSecrets(tx: Tx, names?: readonly string[]): Promise<SecretRow[]> {
  const where = names === undefined ? {} : { name: { in: [...names] } };
  return tx.secret.findMany({ where, orderBy: { name: "asc" } });
}

/** Locks the choice of a key against other nodes, and reads which keys the secrets are under. */
export async function lockKeyIds(tx: Tx): Promise<string[]> {
  await tx.$queryRaw`SELECT pg_advisory_xact_lock(hashtextextended('keys of secrets', 0))::text`;
  const used = await tx.secret.findMany({ distinct: ["keyId"], select: { keyId: true } });
  return used.map(({ keyId }) => keyId);
}

/** Locks one secret's name against other writers, and reads its row. */
export async function lockSecret(tx: Tx, name: string): Promise<SecretRow | undefined> {
  await tx.$queryRaw`SELECT pg_advisory_xact_lock(hashtextextended('secret ' || ${name}, 0))::text`;
  return (await tx.secret.findUnique({ where: { name } })) ?? undefined;
}

export async function insertSecret(
  tx: Tx,
  secret: { id: string; name: string; now: Date } & Sealed,
): Promise<void> {
  const { now, ...row } = secret;
  await tx.secret.create({ data: { ...row, createdAt: now, updatedAt: now } });
}

/** @param now when the value changed; unset: only its key did */
export async function updateSecret(tx: Tx, id: string, sealed: Sealed, now?: Date): Promise<void> {
  await tx.secret.update({ where: { id }, data: { ...sealed, ...(now && { updatedAt: now }) } });
}

export async function deleteSecretRow(tx: Tx, id: string): Promise<void> {
  await tx.secret.delete({ where: { id } });
}

/** The live jobs and schedules whose current documents name a secret: as `job NAME` and `schedule NAME`. */
export async function whoUsesSecret(tx: Tx, name: string): Promise<string[]> {
  const rows = await tx.$queryRaw<{ user: string }[]>`
    SELECT DISTINCT 'job ' || j.name AS user
    FROM job j JOIN job_revision r ON r.id = j.current_revision_id LEFT JOIN event_action a ON a.job_revision_id = r.id
    WHERE j.deleted_at IS NULL
      AND (a.options->'secrets' ? ${name} OR a.url = ${secretTarget(name)} OR EXISTS (SELECT 1 FROM jsonb_each_text(r.secret_env) WHERE value = ${name}))
    UNION SELECT 'schedule ' || s.name
    FROM schedule s JOIN event_action a ON a.schedule_id = s.id
    WHERE s.deleted_at IS NULL AND (a.options->'secrets' ? ${name} OR a.url = ${secretTarget(name)})
    ORDER BY 1`;
  return rows.map((row) => row.user);
}
