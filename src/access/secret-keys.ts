/** The keys that secrets are encrypted with: a file beside the database, never in the environment. */

import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { link, mkdir, open, readFile, rm, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { OperatorError } from "../errors.ts";

const CIPHER = "aes-256-gcm";
const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const LINE = /^([0-9a-f]{8}) ([A-Za-z0-9+/]{43}=)$/;

/** An encrypted value, as it is stored. */
export interface SealedValue {
  keyId: string;
  nonce: Uint8Array<ArrayBuffer>;
  /** With its authentication tag at the end. */
  ciphertext: Uint8Array<ArrayBuffer>;
}

/** A value cannot be decrypted: the file lacks its key, or the value belongs to another row. */
export class SecretUnreadable extends Error {
  override readonly name = "SecretUnreadable";
}

/** Encrypts and decrypts the values of secrets. */
export interface SecretKeys {
  /** Encrypts with the newest key and binds the value to its row; creates the file when it does not exist. */
  seal(rowId: string, value: string): Promise<SealedValue>;
  /** Throws SecretUnreadable. */
  open(rowId: string, sealed: SealedValue): Promise<string>;
  /** The id of the key that encrypts new values; undefined when there is no key yet. */
  currentKeyId(): Promise<string | undefined>;
  /** Whether the file has one of these keys. */
  holdsAny(keyIds: readonly string[]): Promise<boolean>;
}

type Keys = Map<string, Buffer>;

/**
 * The keys in a file: one line `<id> <base64 of 32 bytes>` for each, the newest first. Every call reads the file again,
 * so a new first line takes effect without a restart. Throws OperatorError when other users may read the file or it is
 * damaged.
 */
export function secretKeys(file: string): SecretKeys {
  return {
    async seal(rowId, value) {
      const [keyId, key] = first(await readKeys(file)) ?? (await makeKey(file));
      const nonce = new Uint8Array(randomBytes(NONCE_BYTES));
      const cipher = createCipheriv(CIPHER, key, nonce).setAAD(Buffer.from(rowId));
      const parts = [cipher.update(value, "utf8"), cipher.final(), cipher.getAuthTag()];
      return { keyId, nonce, ciphertext: new Uint8Array(Buffer.concat(parts)) };
    },
    async open(rowId, { keyId, nonce, ciphertext }) {
      const key = (await readKeys(file)).get(keyId);
      if (key === undefined) throw new SecretUnreadable(`key ${keyId} is not in ${file} of this node`);
      const decipher = createDecipheriv(CIPHER, key, nonce, { authTagLength: TAG_BYTES });
      decipher.setAAD(Buffer.from(rowId)).setAuthTag(ciphertext.subarray(-TAG_BYTES));
      try {
        return Buffer.concat([
          decipher.update(ciphertext.subarray(0, -TAG_BYTES)),
          decipher.final(),
        ]).toString();
      } catch {
        throw new SecretUnreadable("its row was changed, or is a copy of another row");
      }
    },
    async currentKeyId() {
      return first(await readKeys(file))?.[0];
    },
    async holdsAny(keyIds) {
      const keys = await readKeys(file);
      return keyIds.some((keyId) => keys.has(keyId));
    },
  };
}

function first(keys: Keys): [keyId: string, key: Buffer] | undefined {
  return [...keys][0];
}

async function readKeys(file: string): Promise<Keys> {
  const text = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw new OperatorError(`${file} cannot be read (${error.code}): it holds the keys of the secrets`);
  });
  if (text === undefined) return new Map();
  const { mode } = await stat(file);
  if ((mode & 0o077) !== 0) {
    throw new OperatorError(
      `${file} can be read by other users: run chmod 600 on it, and consider a new key`,
    );
  }
  const keys = new Map<string, Buffer>();
  for (const line of text.split("\n").filter((one) => one.trim() !== "")) {
    const [, keyId, key] = LINE.exec(line.trim()) ?? [];
    if (keyId === undefined || key === undefined) {
      throw new OperatorError(`${file} is damaged: each line is a key's id, a space and 32 bytes in base64`);
    }
    keys.set(keyId, Buffer.from(key, "base64"));
  }
  return keys;
}

async function makeKey(file: string): Promise<[keyId: string, key: Buffer]> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  const draft = `${file}.${randomBytes(4).toString("hex")}`;
  try {
    await writeDurably(draft, newKeyLine());
    // Fails when the file exists: processes that start together use one key, and none sees half a file.
    await link(draft, file).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "EEXIST") throw error;
    });
  } finally {
    await rm(draft, { force: true });
  }
  await sync(dirname(file));
  const made = first(await readKeys(file));
  if (made === undefined)
    throw new OperatorError(`${file} is empty: delete it if no secret has been stored yet`);
  return made;
}

/** Writes a new file that only its owner may read; the file is on the disk when this resolves. */
async function writeDurably(file: string, text: string): Promise<void> {
  await using handle = await open(file, "wx", 0o600);
  await handle.writeFile(text);
  await handle.sync();
}

/** A new file name is on the disk once its folder is synced. */
async function sync(folder: string): Promise<void> {
  await using handle = await open(folder, "r");
  await handle.sync();
}

function newKeyLine(): string {
  return `${randomBytes(4).toString("hex")} ${randomBytes(KEY_BYTES).toString("base64")}\n`;
}
