/** What other users of the machine reach of a service that runs as root with its embedded Postgres: nothing. */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { chmod, chown, mkdir, readdir, realpath } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, it } from "vitest";
import { startProcess } from "../support/service-process.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

const OWNER = 54_321;
const USERS = [1, 1_000, 65_534, OWNER];
/** Prints what it can read, list or see below the folders in its arguments. */
const LOOK = `for folder in "$@"; do
  ls "$folder" 2>/dev/null && echo "listed $folder"
  for name in admin-token secret-keys runners postgres postgres/PG_VERSION postgres/global .s.PGSQL.5432 data; do
    [ -e "$folder/$name" ] && echo "saw $folder/$name"
    cat "$folder/$name" 2>/dev/null
  done
done; true`;

it("lets no other user reach the socket, the data, the token, the keys or the journal", {
  timeout: 60_000,
}, async ({ skip }) => {
  if (process.getuid?.() !== 0) skip("only root starts a service for other users to look at");
  await using folder = await temporaryFolder();
  await chmod(folder.path, 0o755);
  const dataDir = join(folder.path, "data");
  await mkdir(dataDir);
  await chown(dataDir, OWNER, OWNER);
  await using service = await startProcess({ DATA_DIR: dataDir, JOBS_DIR: folder.path });
  const { client } = service;
  await client.call("PUT", "/secrets/key", { value: "a-secret-value" });

  const name = createHash("sha256")
    .update(await realpath(dataDir))
    .digest("hex")
    .slice(0, 16);
  const socketFolder = join(tmpdir(), `carillon-${name}`);
  expect(await readdir(socketFolder)).toContain(".s.PGSQL.5432");
  for (const uid of USERS) {
    const looked = await promisify(execFile)("sh", ["-c", LOOK, "sh", dataDir, socketFolder], {
      ...{ uid, gid: uid, cwd: "/" },
    });
    expect([uid, looked.stdout]).toEqual([uid, ""]);
  }

  // The same as a job: the account that the server once ran as.
  await client.putJob("curious", {
    command: ["sh", "-c", LOOK, "sh", dataDir, socketFolder],
    user: "nobody",
  });
  expect(await client.trigger("curious", undefined, "30s")).toMatchObject({ state: "succeeded", log: "" });
});
