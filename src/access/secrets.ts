/** Secrets: write-only values that commands and signatures refer to by name. */
import { CarillonError, invalidDocument, sentence } from "../errors.ts";
import { lockDefinitions } from "../jobs/locks.ts";
import { secretTarget } from "../jobs/rules/definition.ts";
import { type Database, databaseNow, type Tx } from "../postgres/client.ts";
import type { Prisma } from "../postgres/generated/client.ts";
import { newId } from "../postgres/ids.ts";
import { audit } from "./audit.ts";
import type { Caller } from "./rules/grants.ts";
import { type SealedValue, type SecretKeys, SecretUnreadable } from "./secret-keys.ts";

/** Stores a value under a name, replacing the old one. Throws secret_unreadable on a node with a different key file. */
export async function putSecret(
  db: Database,
  caller: Caller,
  name: string,
  value: string,
  { secretKeys }: { secretKeys: SecretKeys },
): Promise<{ created: boolean; secret: ListedSecret }> {
  return db.transaction(async (tx) => {
    await requireKeyFile(tx, secretKeys);
    const before = await lockSecret(tx, name);
    const id = before?.id ?? newId();
    const sealed = await secretKeys.seal(id, value);
    const now = await databaseNow(tx);
    if (before === undefined) await insertSecret(tx, { id, name, now, ...sealed });
    else await updateSecret(tx, id, sealed, now);
    await audit(tx, caller, "secret.save", name, { created: before === undefined });
    const secret = { name, createdAt: before?.createdAt ?? now, updatedAt: now };
    return { created: before === undefined, secret };
  });
}

/** Other nodes could not read a value that is encrypted with a key of this node only. */
async function requireKeyFile(tx: Tx, secretKeys: SecretKeys): Promise<void> {
  const keyIds = await lockKeyIds(tx);
  if (keyIds.length === 0 || (await secretKeys.holdsAny(keyIds))) return;
  throw new CarillonError(
    "secret_unreadable",
    `This node lacks the keys of the stored secrets (${keyIds.join(", ")}): copy the key file of the other node, or set SECRET_KEY_FILE to it.`,
  );
}

/** Lists names, never values. */
export async function listSecrets(db: Database): Promise<ListedSecret[]> {
  return findSecrets(db.prisma);
}

/** Throws secret_not_found, and secret_in_use while a job or schedule refers to it. */
export async function deleteSecret(db: Database, caller: Caller, name: string): Promise<void> {
  await db.transactionInTurn(async (tx) => {
    // Meanwhile, no job that refers to it can be saved.
    await lockDefinitions(tx);
    const secret = await lockSecret(tx, name);
    if (secret === undefined) throw new CarillonError("secret_not_found", `There is no secret ${name}.`);
    const users = await whoUsesSecret(tx, name);
    if (users.length > 0) {
      throw new CarillonError(
        "secret_in_use",
        `The secret ${name} is used by ${users.join(", ")}: remove it there first.`,
      );
    }
    await deleteSecretRow(tx, secret.id);
    await audit(tx, caller, "secret.delete", name);
  });
}

/** Encrypts all values with the newest key; returns how many had an older key. Throws secret_unreadable. */
export async function rotateSecrets(
  db: Database,
  caller: Caller,
  { secretKeys }: { secretKeys: SecretKeys },
): Promise<number> {
  await db.transaction((tx) => audit(tx, caller, "secret.rotate", "all"));
  const current = await secretKeys.currentKeyId();
  const old = (await findSecrets(db.prisma)).filter(({ keyId }) => keyId !== current);
  for (const { name } of old) {
    await db.transaction(async (tx) => {
      const secret = await lockSecret(tx, name);
      if (secret === undefined) return;
      const value = await decrypt(secret, secretKeys);
      await updateSecret(tx, secret.id, await secretKeys.seal(secret.id, value));
    });
  }
  return old.length;
}

/** The values of secrets by name. Throws secret_not_found and secret_unreadable, which name the first such secret. */
export async function secretValues(
  tx: Tx,
  names: readonly string[],
  { secretKeys }: { secretKeys: SecretKeys },
): Promise<Map<string, string>> {
  if (names.length === 0) return new Map();
  const found = await findSecrets(tx, names);
  const missing = names.find((name) => !found.some((secret) => secret.name === name));
  if (missing !== undefined) throw new CarillonError("secret_not_found", `There is no secret ${missing}.`);
  const values = found.map(async (secret) => [secret.name, await decrypt(secret, secretKeys)] as const);
  return new Map(await Promise.all(values));
}

/** Throws invalid_document when a secret does not exist; `path` is the place of its name in the document. */
export async function requireSecrets(
  tx: Tx,
  named: readonly { path: string; name: string }[],
): Promise<void> {
  if (named.length === 0) return;
  const found = new Set(
    (
      await findSecrets(
        tx,
        named.map(({ name }) => name),
      )
    ).map(({ name }) => name),
  );
  const missing = named.filter(({ name }) => !found.has(name));
  if (missing.length === 0) return;
  throw invalidDocument(
    missing.map(({ path, name }) => ({ path, message: `there is no secret ${name}: PUT it first` })),
  );
}

async function decrypt(secret: SecretRow, secretKeys: SecretKeys): Promise<string> {
  try {
    return await secretKeys.open(secret.id, secret);
  } catch (error) {
    if (!(error instanceof SecretUnreadable)) throw error;
    throw new CarillonError(
      "secret_unreadable",
      sentence(`The secret ${secret.name} cannot be read: ${error.message}`),
    );
  }
}

/** A secret without its value. */
export interface ListedSecret {
  name: string;
  createdAt: Date;
  updatedAt: Date;
}

export type SecretRow = Prisma.SecretGetPayload<object>;

/** The secrets with these names, or all secrets; ordered by name. */
async function findSecrets(tx: Tx, names?: readonly string[]): Promise<SecretRow[]> {
  const where = names === undefined ? {} : { name: { in: [...names] } };
  return tx.secret.findMany({ where, orderBy: { name: "asc" } });
}

/** Locks the choice of a key against other nodes, and reads which keys are in use. */
async function lockKeyIds(tx: Tx): Promise<string[]> {
  await tx.$queryRaw`SELECT pg_advisory_xact_lock(hashtextextended('keys of secrets', 0))::text`;
  const used = await tx.secret.findMany({ distinct: ["keyId"], select: { keyId: true } });
  return used.map(({ keyId }) => keyId);
}

/** Locks one secret's name against other writers, and reads its row. */
async function lockSecret(tx: Tx, name: string): Promise<SecretRow | undefined> {
  await tx.$queryRaw`SELECT pg_advisory_xact_lock(hashtextextended('secret ' || ${name}, 0))::text`;
  return (await tx.secret.findUnique({ where: { name } })) ?? undefined;
}

async function insertSecret(
  tx: Tx,
  secret: { id: string; name: string; now: Date } & SealedValue,
): Promise<void> {
  const { now, ...row } = secret;
  await tx.secret.create({ data: { ...row, createdAt: now, updatedAt: now } });
}

/** @param now when the value changed; unset: only the key changed */
async function updateSecret(tx: Tx, id: string, sealed: SealedValue, now?: Date): Promise<void> {
  await tx.secret.update({ where: { id }, data: { ...sealed, ...(now && { updatedAt: now }) } });
}

async function deleteSecretRow(tx: Tx, id: string): Promise<void> {
  await tx.secret.delete({ where: { id } });
}

/** The live jobs and schedules whose current documents refer to a secret: as `job NAME` and `schedule NAME`. */
async function whoUsesSecret(tx: Tx, name: string): Promise<string[]> {
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
