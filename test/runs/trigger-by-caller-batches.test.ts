/** Triggers that share a transaction: each gets its own result, and limits and keys hold among them. */
import { afterEach, beforeEach, expect, it } from "vitest";
import { triggerRun } from "../../src/runs/trigger-by-caller.ts";
import { putJob } from "../../src/schedules/save-job.ts";
import { jobDefinition } from "../support/job-definition.ts";
import { ADMINISTRATOR, type TestInfra, testInfra } from "../support/test-infra.ts";

let infra: TestInfra;
beforeEach(async () => {
  infra = await testInfra();
  await putJob(infra, ADMINISTRATOR, jobDefinition({ name: "first" }));
}, 30_000);
afterEach(() => infra?.[Symbol.asyncDispose]());

type Trigger = Parameters<typeof triggerRun>[2];

/** Triggers in one transaction, because they come in one turn of the event loop. */
async function inOneBatch(triggers: readonly Trigger[]) {
  let transactions = 0;
  const counting: TestInfra = {
    ...infra,
    db: {
      ...infra.db,
      sqlTransaction: (work) => {
        transactions++;
        return infra.db.sqlTransaction(work);
      },
    },
  };
  const results = await Promise.allSettled(
    triggers.map((trigger) => triggerRun(counting, ADMINISTRATOR, trigger)),
  );
  expect(transactions).toBe(1);
  return results;
}

const valuesOf = (results: Awaited<ReturnType<typeof inOneBatch>>) =>
  results.map((result) => (result.status === "fulfilled" ? result.value : result.reason));

it("gives the places of limited jobs to the first triggers of each", async () => {
  const limited = { limit: 1, policy: "queue" } as const;
  await putJob(infra, ADMINISTRATOR, jobDefinition({ name: "one", concurrency: limited }));
  const skipping = { limit: 2, policy: "skip" } as const;
  await putJob(infra, ADMINISTRATOR, jobDefinition({ name: "two", concurrency: skipping }));
  const jobs = ["one", "two", "one", "two", "two", "one"];
  const results = valuesOf(await inOneBatch(jobs.map((job) => ({ job }))));
  const rows = await infra.db.prisma.run.findMany({ where: { id: { in: results.map(({ id }) => id) } } });
  const places = results
    .map(({ id }) => rows.find((row) => row.id === id))
    .map((row) => {
      return `${row?.state}${row?.messageId ? ", with a message" : ""}`;
    });
  expect(places).toEqual([
    "queued, with a message",
    "queued, with a message",
    "queued",
    "queued, with a message",
    "skipped",
    "queued",
  ]);
});

it("creates one run for equal keys, and refuses another trigger with the key", async () => {
  const results = valuesOf(
    await inOneBatch([
      { job: "first", idempotencyKey: "key" },
      { job: "first", idempotencyKey: "key" },
      { job: "first", idempotencyKey: "key", triggeredBy: "somebody" },
      { job: "first", idempotencyKey: "other" },
    ]),
  );
  const [created, again, refused, other] = results;
  expect(again).toEqual({ id: created.id, replayed: true });
  expect(refused).toMatchObject({ code: "idempotency_mismatch" });
  expect(other.id).not.toBe(created.id);
  expect(await triggerRun(infra, ADMINISTRATOR, { job: "first", idempotencyKey: "key" })).toEqual(again);
  expect(await infra.db.prisma.run.count()).toBe(2);
});

it("refuses some triggers without an effect on the others, and audits those that were accepted", async () => {
  await putJob(infra, ADMINISTRATOR, jobDefinition({ name: "off", enabled: false }));
  const results = valuesOf(
    await inOneBatch([{ job: "unknown" }, { job: "first" }, { job: "off" }, { job: "first" }]),
  );
  expect(results).toMatchObject([
    { code: "job_not_found" },
    { replayed: false },
    { code: "job_disabled" },
    { replayed: false },
  ]);
  const audited = await infra.db.prisma.auditEntry.findMany({ where: { action: "job.trigger" } });
  expect(audited.map(({ target }) => target)).toEqual(["first", "first"]);
});

it("breaks up a deadlock, and creates every run", async () => {
  await putJob(infra, ADMINISTRATOR, jobDefinition({ name: "second" }));
  const lock = async (tx: Parameters<Parameters<typeof infra.db.transaction>[0]>[0], job: string) =>
    void (await tx.$queryRaw`SELECT id FROM job WHERE name = ${job} FOR UPDATE`);
  const isWaiting = async () => {
    const [row] = await infra.db.prisma.$queryRaw<{ count: number }[]>`
      SELECT count(*)::int FROM pg_locks WHERE NOT granted`;
    return row?.count;
  };
  let batch: ReturnType<typeof inOneBatch> | undefined;
  // Jobs are locked in the order of their ids, so the batch holds the first job and waits for the second one.
  await infra.db.transaction(async (tx) => {
    await lock(tx, "second");
    batch = inOneBatch([{ job: "first" }, { job: "second" }]);
    await expect.poll(isWaiting).toBe(1);
    await lock(tx, "first");
  });
  expect(valuesOf((await batch) ?? [])).toMatchObject([{ replayed: false }, { replayed: false }]);
  expect(await infra.db.prisma.run.count()).toBe(2);
});

it("delays only the trigger of a locked job, not its neighbours or those that follow", async () => {
  await putJob(infra, ADMINISTRATOR, jobDefinition({ name: "locked" }));
  const trigger = (job: string) => triggerRun(infra, ADMINISTRATOR, { job });
  let late: Promise<unknown> = Promise.resolve();
  let isDone = false;
  await infra.db.transaction(async (tx) => {
    await tx.$queryRaw`SELECT id FROM job WHERE name = 'locked' FOR UPDATE`;
    const first = trigger("first");
    late = trigger("locked").then(() => {
      isDone = true;
    });
    await Promise.all([first, trigger("first")]);
    await trigger("first");
    expect(isDone).toBe(false);
  });
  await late;
  expect(await infra.db.prisma.run.count()).toBe(4);
});
