/** Tests of the file with the secrets' keys: it is never incomplete, and processes that start together share one. */
import { spawnSync } from "node:child_process";
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { secretKeys } from "../../src/access/secret-keys.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

it("is created once when many processes need it at the same time", async () => {
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

it("does not exist after a failed write, and is created by the next attempt", async () => {
  await using folder = await temporaryFolder();
  const file = join(folder.path, "secret-keys");
  const module = join(import.meta.dirname, "../../src/access/secret-keys.ts");
  const makes = `const { secretKeys } = await import(${JSON.stringify(module)});
    await secretKeys(${JSON.stringify(file)}).seal("row", "a secret value");`;
  // ulimit -f 0: files can be created, but nothing can be written to them.
  const child = spawnSync("sh", ["-c", 'ulimit -f 0; exec "$0" -e "$1"', process.execPath, makes]);
  expect(child.status).not.toBe(0);
  await expect(stat(file)).rejects.toThrow("ENOENT");
  expect((await secretKeys(file).seal("row", "a secret value")).keyId).toHaveLength(8);
});

it("reports whether it holds one of some keys", async () => {
  await using folder = await temporaryFolder();
  const keys = secretKeys(join(folder.path, "secret-keys"));
  expect(await keys.holdsAny(["0badcafe"])).toBe(false);
  const { keyId } = await keys.seal("row", "a secret value");
  expect(await keys.holdsAny(["0badcafe", keyId])).toBe(true);
  expect(await keys.holdsAny(["0badcafe"])).toBe(false);
});
