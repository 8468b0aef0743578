/** Writes jobs with a retention and runs that ended long ago, as years of work would leave them. */
import { randomUUID } from "node:crypto";
import type { Tx } from "../../src/postgres/client.ts";

export const DAY_MS = 86_400_000;

export interface OldJob {
  id: string;
  revisionId: string;
}

/** Saves a job; null: it says nothing of its retention. Its schedule is made with the retention given for it. */
export async function saveJob(
  tx: Tx,
  { own = null, schedule = null }: { own?: number | null; schedule?: number | null },
): Promise<OldJob> {
  const [id, revisionId] = [randomUUID(), randomUUID()];
  const retention = (ms: number | null) => (ms === null ? null : BigInt(ms));
  await tx.schedule.create({
    data: {
      name: `schedule of ${id}`,
      logRetentionMs: retention(schedule),
      jobs: { create: { id, name: `job ${id}` } },
    },
  });
  await saveRevision(tx, { id, revisionId }, 1, retention(own));
  return { id, revisionId };
}

/** Writes a revision and makes it the one in force. */
export async function saveRevision(
  tx: Tx,
  { id, revisionId }: OldJob,
  number: number,
  logRetentionMs: bigint | null,
): Promise<void> {
  await tx.jobRevision.create({
    data: {
      id: revisionId,
      jobId: id,
      number,
      logRetentionMs,
      shell: true,
      command: ["true"],
      retryLimit: 0,
      retryDelayMs: 0,
      retryBackoff: "constant",
      retryJitter: 0,
      enabled: true,
    },
  });
  await tx.job.update({ where: { id }, data: { currentRevisionId: revisionId } });
}

/** A run with one attempt, its log, and an event that others may have been triggered by. */
export interface OldRun {
  id: string;
  jobId: string;
  eventId: string;
}

/** Writes a run that ended so many days ago; with `endedDaysAgo: null` it still runs. */
export async function saveRun(
  tx: Tx,
  job: OldJob,
  { endedDaysAgo, parent }: { endedDaysAgo: number | null; parent?: OldRun },
): Promise<OldRun> {
  const [id, attemptId, eventId] = [randomUUID(), randomUUID(), randomUUID()];
  const finishedAt = endedDaysAgo === null ? null : new Date(Date.now() - endedDaysAgo * DAY_MS);
  const at = finishedAt ?? new Date();
  await tx.run.create({
    data: {
      id,
      jobId: job.id,
      revisionId: job.revisionId,
      state: finishedAt === null ? "running" : "succeeded",
      trigger: "api",
      triggeredBy: "api",
      triggeredAt: at,
      finishedAt,
      parentEventId: parent?.eventId ?? null,
      attempts: {
        create: {
          id: attemptId,
          number: 0,
          worker: "worker",
          startedAt: at,
          logs: { create: { position: 0, bytes: Buffer.from("done\n") } },
        },
      },
    },
  });
  const event = {
    id: eventId,
    runId: id,
    attemptId,
    attempt: 0,
    event: "on_success",
    createdAt: at,
  } as const;
  await tx.runEvent.create({ data: { ...event, body: "{}" } });
  return { id, jobId: job.id, eventId };
}

/** Writes a delivery of the run's event, with one try. */
export async function saveDelivery(
  tx: Tx,
  { eventId, jobId }: OldRun,
  state: "pending" | "delivered",
): Promise<string> {
  const [id, now] = [randomUUID(), new Date()];
  const history = { create: { number: 1, startedAt: now, durationMs: 1 } };
  await tx.delivery.create({
    data: {
      id,
      eventId,
      jobId,
      action: "notify_webhook",
      url: "https://example.org/",
      state,
      createdAt: now,
      history,
    },
  });
  return id;
}

/** Lets an idempotency key stand for a run since so many days. */
export async function saveKey(tx: Tx, { id }: OldRun, daysAgo: number): Promise<void> {
  const createdAt = new Date(Date.now() - daysAgo * DAY_MS);
  await tx.idempotencyKey.create({ data: { key: randomUUID(), fingerprint: "", runId: id, createdAt } });
}
