/** Tests of the process that `npm start` runs: greeting, embedded Postgres, and messages that say what to do. */
import { execFile } from "node:child_process";
import { once } from "node:events";
import { stat } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { freshDatabase } from "./support/fresh-database.ts";
import { startProcess } from "./support/service-process.ts";
import { temporaryFolder } from "./support/temporary-folder.ts";

const shell = async (line: string) => (await promisify(execFile)("/bin/sh", ["-c", line])).stdout;

// The tests run at the same time, because they wait: for a stop, a lapsed heartbeat, a lost or silent database.
describe.concurrent("the process", () => {
  it("starts on embedded Postgres, prints commands that work when pasted, and keeps its data", {
    timeout: 90_000,
  }, async ({ expect }) => {
    await using folder = await temporaryFolder();
    const environment = { DATA_DIR: join(folder.path, "it's the data") };
    {
      await using first = await startProcess(environment);
      const lines = first
        .output()
        .split("\n")
        .filter((line) => line.startsWith("  curl"));
      expect(lines).toHaveLength(3);
      const [saved, ran, listed] = [
        await shell(lines[0] ?? ""),
        await shell(lines[1] ?? ""),
        await shell(lines[2] ?? ""),
      ];
      expect(JSON.parse(saved)).toMatchObject({ name: "hello", revision: 1 });
      expect(JSON.parse(ran)).toMatchObject({ state: "succeeded", log: "Hello from Carillon\n" });
      expect(JSON.parse(listed)).toMatchObject({ items: [{ name: "hello", state: "succeeded" }] });
      const tokenFile = await stat(join(environment.DATA_DIR, "admin-token"));
      expect((tokenFile.mode & 0o777).toString(8)).toBe("600");
      expect(first.output()).toContain(join(environment.DATA_DIR, "admin-token"));

      await expect(startProcess(environment)).rejects.toThrow(/another|already/i);
      expect(await first.end("SIGTERM")).toBe(0);
    }
    await using second = await startProcess(environment);
    expect(await second.client.runs("job=hello")).toHaveLength(1);
    expect((await fetch(`${second.url}/readyz`)).status).toBe(200);
    // SIGHUP, sent when a terminal closes, drains like SIGTERM.
    expect(await second.end("SIGHUP")).toBe(0);
  });

  it("survives kill -9 on embedded Postgres with every accepted trigger", { timeout: 90_000 }, async ({
    expect,
  }) => {
    await using folder = await temporaryFolder();
    const environment = { DATA_DIR: join(folder.path, "data") };
    await using first = await startProcess(environment);
    await first.client.putJob("quick", { command: "true", retries: 1, retry: { delay: "1ms" } });
    const accepted = await Promise.all(Array.from({ length: 20 }, () => first.client.trigger("quick")));
    await first.end("SIGKILL");
    await using second = await startProcess(environment);
    const ended = await Promise.all(accepted.map(({ id }) => second.client.run(id, "55s")));
    expect(ended.map(({ state }) => state)).toEqual(accepted.map(() => "succeeded"));
    expect(await second.end("SIGTERM")).toBe(0);
  });

  it("names in /readyz what is not ready while /healthz stays 200", { timeout: 60_000 }, async ({
    expect,
  }) => {
    await using folder = await temporaryFolder();
    await using database = await freshDatabase();
    await using service = await startProcess({
      DATA_DIR: join(folder.path, "data"),
      DATABASE_URL: database.connectionString,
      LOG_LEVEL: "silent",
    });
    expect(await (await fetch(`${service.url}/readyz`)).json()).toMatchObject({
      status: "ready",
      not_ready: [],
      scheduler: { oldest_overdue_ms: null },
    });
    await database.drop();
    const reasons = async () =>
      ((await (await fetch(`${service.url}/readyz`)).json()) as { not_ready: string[] }).not_ready;
    await expect
      .poll(reasons, { timeout: 20_000, interval: 200 })
      .toEqual(
        expect.arrayContaining([
          expect.stringMatching(/^database: does not answer$/),
          expect.stringMatching(/^scheduler: no success for \d+ s$/),
        ]),
      );
    const { parts } = (await (await fetch(`${service.url}/readyz`)).json()) as {
      parts: { name: string; state: string; errors: number }[];
    };
    const scheduler = parts.find(({ name }) => name === "scheduler");
    expect(scheduler).toMatchObject({ state: "late", errors: expect.toSatisfy((errors) => errors > 0) });
    expect((await fetch(`${service.url}/readyz`)).status).toBe(503);
    expect((await fetch(`${service.url}/healthz`)).status).toBe(200);
  });

  it("stops the start when the database accepts connections and never answers", async ({ expect }) => {
    await using folder = await temporaryFolder();
    const DATA_DIR = join(folder.path, "data");
    await using server = createServer((socket) => socket.resume()).listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const starting = startProcess({ DATA_DIR, DATABASE_URL: `postgres://u:hush@127.0.0.1:${port}/none` });
    const failure = await starting.then(String, (error: Error) => error.message);
    expect(failure).toMatch(/database at 127\.0\.0\.1:\d+ does not answer: timeout/);
    expect(failure).not.toContain("hush");
  });
});

it.each([
  ["PORT", "http", /PORT must be a whole number/],
  ["WORKER_CONCURRENCY", "0", /WORKER_CONCURRENCY must be a whole number from 1/],
  ["LOG_LEVEL", "loud", /LOG_LEVEL must be one of trace, debug/],
  ["DATABASE_URL", "mysql://x", /DATABASE_URL must begin with postgres/],
  ["ROLES", "api,cook", /ROLES must be a list of api, scheduler, worker/],
  ["DEFAULT_TIMEZONE", "Mars/Base", /DEFAULT_TIMEZONE must be an IANA/],
  ["WEBHOOK_ALLOW_CIDR", "10.0.0.0/99", /WEBHOOK_ALLOW_CIDR.*10\.0\.0\.0\/99/],
  ["ADMIN_TOKEN", "short", /ADMIN_TOKEN must have/],
  ["SHUTDOWN_GRACE", "soon", /SHUTDOWN_GRACE must be a duration/],
])("stops the start when %s is %s, and names the variable", async (name, value, message) => {
  await using folder = await temporaryFolder();
  const environment = { DATA_DIR: join(folder.path, "data"), [name]: value };
  await expect(startProcess(environment)).rejects.toThrow(message);
});

it("says what to do when the port is in use or the database does not answer", async () => {
  await using folder = await temporaryFolder();
  await using database = await freshDatabase();
  const DATA_DIR = join(folder.path, "data");
  const taken = createServer().listen(0, "127.0.0.1");
  await once(taken, "listening");
  const { port } = taken.address() as AddressInfo;
  const clash = startProcess({ DATA_DIR, DATABASE_URL: database.connectionString, PORT: String(port) });
  await expect(clash).rejects.toThrow(`port ${port} is in use`);
  // Nothing else has started: there is no token and no data folder.
  await expect(stat(DATA_DIR)).rejects.toThrow("ENOENT");
  taken.close();
  await once(taken, "close");

  const nowhere = startProcess({ DATA_DIR, DATABASE_URL: `postgres://localhost:${port}/none` });
  await expect(nowhere).rejects.toThrow(/database at localhost:\d+ does not answer/);
});
