/** kill -9 while the backlog of a host that is down is postponed: no delivery is lost (promise 6). */
import { join } from "node:path";
import { expect, it } from "vitest";
import { countPostponed, insertDueDeliveries, urlsOf } from "../support/due-deliveries.ts";
import { answer, drop, startSink } from "../support/http-sink.ts";
import { startProcess } from "../support/service-process.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";
import { testInfra } from "../support/test-infra.ts";

const BACKLOG = 200;
const PATIENCE = { timeout: 30_000 };

it("delivers all of it after the next start", async () => {
  await using infra = await testInfra();
  await using folder = await temporaryFolder();
  await using sink = await startSink(drop);
  const environment = {
    DATABASE_URL: infra.connectionString,
    DATA_DIR: join(folder.path, "data"),
    JOBS_DIR: folder.path,
    WEBHOOK_ALLOW_CIDR: "127.0.0.1/32",
  };
  const ids = await insertDueDeliveries(infra, urlsOf(sink, BACKLOG));
  {
    await using before = await startProcess(environment);
    await expect.poll(() => countPostponed(infra), PATIENCE).toBeGreaterThan(0);
    await before.end("SIGKILL");
  }
  sink.handler = answer(200);
  const { prisma } = infra.db;
  const pending = await prisma.delivery.count({ where: { state: "pending" } });
  expect(pending).toBe(BACKLOG);
  // The time passes after which the postponed become due, the failed are tried again, and the claims of the dead lapse.
  await prisma.$executeRaw`
    UPDATE pgboss.job SET start_after = start_after - interval '3 minutes', started_on = started_on - interval '3 minutes'
    WHERE name = 'delivery'`;
  await using _after = await startProcess(environment);
  await expect.poll(() => prisma.delivery.count({ where: { state: "delivered" } }), PATIENCE).toBe(BACKLOG);
  const answered = await prisma.deliveryTry.findMany({ where: { status: 200 } });
  expect(new Set(answered.map(({ deliveryId }) => deliveryId))).toEqual(new Set(ids));
}, 90_000);
