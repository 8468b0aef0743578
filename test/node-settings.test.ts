/** Tests that the service runs with the settings that keep its memory small, and whose compiled code it runs. */
import { chmod, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { freshDatabase } from "./support/fresh-database.ts";
import { type ServiceProcess, startProcess } from "./support/service-process.ts";
import { temporaryFolder } from "./support/temporary-folder.ts";

const read = async ({ child }: ServiceProcess, file: string) =>
  (await readFile(`/proc/${child.pid}/${file}`, "utf8")).split("\0");

describe.skipIf(process.platform !== "linux")("a started service", () => {
  it("has a small young generation and no TypeScript compiler, from its first start on", {
    timeout: 90_000,
  }, async () => {
    await using database = await freshDatabase();
    await using folder = await temporaryFolder();
    const environment = {
      ...{ DATABASE_URL: database.connectionString, DATA_DIR: folder.path },
      ...{ ROLES: "scheduler", NODE_COMPILE_CACHE: "" },
    };
    const cache = join(folder.path, "compile-cache");
    for (const reason of ["compiled", "settings"]) {
      await using service = await startProcess(environment);
      expect(await read(service, "cmdline")).toContain("--max-semi-space-size=4");
      expect(await read(service, "environ")).toEqual(
        expect.arrayContaining([
          "MALLOC_ARENA_MAX=2",
          `NODE_COMPILE_CACHE=${cache}`,
          `CARILLON_NODE_START=${reason}`,
        ]),
      );
    }
    expect((await stat(cache)).mode & 0o777).toBe(0o700);
  });

  it("runs no compiled code from a folder that others may write to", { timeout: 60_000 }, async () => {
    await using database = await freshDatabase();
    await using folder = await temporaryFolder();
    await chmod(folder.path, 0o770);
    await using service = await startProcess({
      ...{ DATABASE_URL: database.connectionString, DATA_DIR: folder.path },
      ...{ ROLES: "scheduler", NODE_COMPILE_CACHE: "" },
    });
    expect((await read(service, "environ")).filter((one) => /^NODE_COMPILE_CACHE=./.test(one))).toEqual([]);
  });
});
