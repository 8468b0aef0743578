/** The file of the secrets' keys: whole from the moment that it is there, and one for all who start at once. */
import { spawnSync } from "node:child_process";
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { secretKeys } from "../../src/access/secret-keys.ts";
import { temporaryFolder } from "../support/folder.ts";

it("is made once, whole, by one of many", async () => {
  await using folder = await temporaryFolder();
  const file = join(folder.path, "data/secret-keys");
  const makers = Array.from({ length: 40 }, () => secretKeys(file).seal("row", "a secret value"));
  const sealed = await Promise.all(makers);
  const text = await readFile(file, "utf8");
  expect(new Set(sealed.map(({ keyId }) => keyId))).toEqual(new Set([text.slice(0, 8)]));
  expect(text.split("\n")).toHaveLength(2);
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  expect(await readdir(join(folder.path, "data"))).toEqual(["secret-keys"]);
  for (const one of sealed) expect(await secretKeys(file).open("row", one)).toBe("a secret value");
});

it("is not there when its maker dies or the disk is full in the middle of it, and the next one makes it", async () => {
  await using folder = await temporaryFolder();
  const file = join(folder.path, "secret-keys");
  const module = join(import.meta.dirname, "../../src/access/secret-keys.ts");
  const makes = `const { secretKeys } = await import(${JSON.stringify(module)});
    await secretKeys(${JSON.stringify(file)}).seal("row", "a secret value");`;
  // No file may grow: each can be made, and nothing be written to it.
  const child = spawnSync("sh", ["-c", 'ulimit -f 0; exec "$0" -e "$1"', process.execPath, makes]);
  expect(child.status).not.toBe(0);
  await expect(stat(file)).rejects.toThrow("ENOENT");
  expect((await secretKeys(file).seal("row", "a secret value")).keyId).toHaveLength(8);
});

it("holds a key, or does not", async () => {
  await using folder = await temporaryFolder();
  const keys = secretKeys(join(folder.path, "secret-keys"));
  expect(await keys.holdsAny(["0badcafe"])).toBe(false);
  const { keyId } = await keys.seal("row", "a secret value");
  expect(await keys.holdsAny(["0badcafe", keyId])).toBe(true);
  expect(await keys.holdsAny(["0badcafe"])).toBe(false);
});
