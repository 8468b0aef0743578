/** Pauses and resumes jobs: a paused job has no cron slots. */
import { audit } from "../access/audit.ts";
import type { Caller } from "../access/rules/grants.ts";
import type { Infra } from "../infra.ts";
import { type Pause, requireJob, type StoredJob } from "../jobs/find.ts";
import { databaseNow, type Tx } from "../postgres/client.ts";
import { save } from "./save.ts";

/** Stores the pause of a job, or null to resume it. The slots of the job then count from `now` on. */
async function writePause(tx: Tx, jobId: string, pause: Pause | null, now: Date): Promise<void> {
  await tx.job.update({
    where: { id: jobId },
    data: {
      pausedAt: pause?.at ?? null,
      pausedBy: pause?.by ?? null,
      pauseReason: pause?.reason ?? null,
      updatedAt: now,
    },
  });
}

/** Pauses a job. Leaves a job that is already paused unchanged. Throws job_not_found. */
export async function pauseJob(
  infra: Infra,
  caller: Caller,
  name: string,
  { by = null, reason = null }: { by?: string | null | undefined; reason?: string | null | undefined },
): Promise<StoredJob> {
  return save(infra, {}, async (tx) => {
    const job = await requireJob(tx, name);
    await audit(tx, caller, "job.pause", name, { changed: job.paused === null });
    if (job.paused !== null) return job;
    const at = await databaseNow(tx);
    await writePause(tx, job.id, { at, by, reason }, at);
    return requireJob(tx, name);
  });
}

/** Resumes a job, which then has cron slots again. Throws job_not_found. */
export async function resumeJob(infra: Infra, caller: Caller, name: string): Promise<StoredJob> {
  return save(infra, {}, async (tx) => {
    const job = await requireJob(tx, name);
    await audit(tx, caller, "job.resume", name, { changed: job.paused !== null });
    if (job.paused === null) return job;
    await writePause(tx, job.id, null, await databaseNow(tx));
    return requireJob(tx, name);
  });
}
