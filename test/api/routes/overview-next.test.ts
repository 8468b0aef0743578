/** What is due next, over all jobs: in order, bounded, and what then happens. */
import { expect, it } from "vitest";
import type { Client } from "../../support/api-client.ts";
import { startTestService } from "../../support/test-service.ts";

interface Agenda {
  items: { at: string; local: string; job: string; schedule: string; timezone: string }[];
  truncated: boolean;
}

const next = async (client: Client, query = "") => (await client.call<Agenda>("GET", `/next${query}`)).body;

it("lists the slots of all jobs in order, none of paused and disabled ones", async () => {
  await using service = await startTestService({ ROLES: "api" });
  const { client } = service;
  expect(await next(client)).toEqual({ items: [], truncated: false });
  await client.putJob("half", { command: "true", cron: "*/30 * * * *", timezone: "Asia/Kolkata" });
  await client.putJob("quarter", { command: "true", cron: "*/15 * * * *" });
  await client.putJob("paused", { command: "true", cron: "* * * * *" });
  await client.call("POST", "/jobs/paused/pause");
  await client.putJob("off", { command: "true", cron: "* * * * *", enabled: false });
  const { items, truncated } = await next(client, "?within=2h");
  expect(truncated).toBe(false);
  expect(items.filter(({ job }) => job === "quarter")).toHaveLength(8);
  expect(items.filter(({ job }) => job === "half")).toHaveLength(4);
  expect(items).toHaveLength(12);
  expect(items.map(({ at }) => at)).toEqual(items.map(({ at }) => at).sort());
  const half = items.find(({ job }) => job === "half");
  expect(half).toMatchObject({ schedule: "default", timezone: "Asia/Kolkata" });
  expect(half?.local).toMatch(/\+05:30$/);
  expect(Date.parse(String(half?.local))).toBe(Date.parse(String(half?.at)));

  expect(await next(client, "?within=2h&limit=3")).toEqual({ items: items.slice(0, 3), truncated: true });
  for (const wrong of ["?within=8d", "?within=soon", "?limit=0", "?limit=1001"]) {
    expect((await client.call("GET", `/next${wrong}`)).status).toBe(400);
  }
});

it("predicts for one job and for all the runs that then happen", { timeout: 30_000 }, async () => {
  await using service = await startTestService({ ROLES: "api,scheduler" });
  const { client } = service;
  await client.putJob("two", { command: "true", cron: "*/2 * * * * *", timezone: "Asia/Kolkata" });
  await client.putJob("three", { command: "true", cron: "*/3 * * * * *" });
  const { items } = await next(client, "?within=8s");
  const own = await client.call<{ items: { at: string; local: string }[] }>("GET", "/jobs/two/next?count=3");
  const expected = items.map(({ job, at }) => `${at} ${job}`).sort();
  const last = items.at(-1);
  const made = async () => {
    const runs = await service.prisma.run.findMany({ include: { job: true } });
    return runs.map((run) => `${run.scheduledFor?.toISOString()} ${run.job.name}`);
  };
  await expect.poll(made, { timeout: 20_000 }).toContain(`${last?.at} ${last?.job}`);
  const then = (await made()).filter(
    (slot) => slot <= String(expected.at(-1)) && slot >= String(expected[0]),
  );
  expect(then.sort()).toEqual(expected);
  expect(expected).toEqual(expect.arrayContaining(own.body.items.map(({ at }) => `${at} two`)));
});
