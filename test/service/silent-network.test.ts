/** A network that fails without a word: it forgets the connections that there are, or lets nothing pass any more. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "vitest";
import { startNode, until } from "../../scripts/reliability/campaign.ts";
import { startCutProxy } from "../support/cut-proxy.ts";
import { freshDatabase } from "../support/fresh-database.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

/** A node whose connections were forgotten claims again within this time (ms). */
const CLAIMS_AGAIN_MS = 40_000;
/** A stop ends so long (ms) after the grace at the latest; the rest is for a busy machine. */
const STOP_MS = 15_000 + 3_000;
const READYZ_MS = 5_000;

/** A worker behind a proxy, and an API that reaches the database by itself. */
async function openWorld() {
  await using stack = new AsyncDisposableStack();
  const database = stack.use(await freshDatabase());
  const folder = stack.use(await temporaryFolder());
  const proxy = stack.use(await startCutProxy(database.connectionString));
  const world = { connectionString: database.connectionString, folder: folder.path, seed: 1 };
  const api = stack.use(await startNode(world, "api", { ROLES: "api,scheduler" }));
  const victim = stack.use(
    await startNode(world, "victim", { ROLES: "api,worker", DATABASE_URL: proxy.connectionString }),
  );
  const opened = stack.move();
  return { folder, proxy, api, victim, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}

async function readiness(url: string) {
  const askedAt = performance.now();
  const answer = await fetch(`${url}/readyz`);
  const { not_ready } = (await answer.json()) as { not_ready: string[] };
  return { status: answer.status, not_ready, ms: performance.now() - askedAt };
}

const NOT_READY = { status: 503, not_ready: ["database: does not answer"] };

describe.concurrent("a node", { timeout: 120_000 }, () => {
  it("claims again after the network forgot its connections, never runs an attempt twice at once, logs it, and can be stopped", async ({
    expect,
  }) => {
    await using world = await openWorld();
    const { folder, proxy, api, victim } = world;
    const beats = async () => {
      const text = await readFile(join(folder.path, "beats"), "utf8").catch(() => "");
      return text.split("\n").filter((line) => line !== "");
    };
    const beat = 'echo "$CARILLON_ATTEMPT" >> beats';
    const command = `${beat}; [ "$CARILLON_ATTEMPT" = 1 ] && exit; while ${beat}; do sleep 0.05; done`;
    await api.client.putJob("beating", { command, retry: { limit: 1, delay: "1ms" } });
    await api.client.putJob("after", { command: "true" });
    const { id } = await api.client.trigger("beating");
    await until("the command beats", 20_000, async () => (await beats()).length > 2 || undefined);

    proxy.forget();
    const forgottenAt = performance.now();
    const { ms, ...said } = await readiness(victim.url);
    expect(said).toEqual(NOT_READY);
    expect(ms).toBeLessThan(READYZ_MS);
    const { id: next } = await api.client.trigger("after");
    const run = await until("the worker claims again", CLAIMS_AGAIN_MS, async () => {
      const now = await api.client.run(next);
      return now.finished_at === null ? undefined : now;
    });
    expect(performance.now() - forgottenAt).toBeLessThan(CLAIMS_AGAIN_MS);
    expect(run.attempts[0]?.worker).toMatch(new RegExp(`:${victim.child.pid}$`));
    await until("it is ready again", 20_000, async () => {
      const { status } = await readiness(victim.url);
      return status === 200 || undefined;
    });
    const { parts } = (await (await fetch(`${victim.url}/readyz`)).json()) as { parts: { name: string }[] };
    expect(parts.map(({ name }) => name)).toEqual(
      expect.arrayContaining([
        "worker of pool default",
        "renewals of pool default",
        "maintenance of the queue",
      ]),
    );

    // Its claim was renewed in time, or its command was killed before another attempt began.
    const order = await beats();
    const second = order.indexOf("1");
    expect(second === -1 || order.lastIndexOf("0") < second).toBe(true);
    await api.client.call("POST", `/runs/${id}/cancel`);
    const stoppedAt = performance.now();
    expect(await victim.end("SIGTERM")).toBe(0);
    expect(performance.now() - stoppedAt).toBeLessThan(STOP_MS);
  });

  it("answers 503 when its connections pass nothing, and stops in time with a log line on what it left behind", async ({
    expect,
  }) => {
    await using world = await openWorld();
    const { proxy, api, victim } = world;
    await api.client.putJob("long", { command: "exec sleep 600" });
    const { id } = await api.client.trigger("long");
    await until("it runs", 20_000, async () => (await api.client.run(id)).state === "running" || undefined);

    proxy.cut();
    const { ms, ...said } = await readiness(victim.url);
    expect(said).toEqual(NOT_READY);
    expect(ms).toBeLessThan(READYZ_MS);
    expect((await victim.client.call("GET", "/jobs")).status).toBe(503);
    const stoppedAt = performance.now();
    expect(await victim.end("SIGTERM")).toBe(0);
    expect(performance.now() - stoppedAt).toBeLessThan(STOP_MS);
    expect(victim.output()).toMatch(/stopped without waiting for [^"]*queue/);
  });
});
