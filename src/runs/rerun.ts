/** Runs the job of a run once more. */
import { audit } from "../access/audit.ts";
import type { Caller } from "../access/rules/grants.ts";
import { CarillonError, jobDisabled, runNotFound } from "../errors.ts";
import type { Infra } from "../infra.ts";
import { databaseNow, type Tx } from "../postgres/client.ts";
import type { Prisma } from "../postgres/generated/client.ts";
import { createRuns } from "./trigger.ts";

/**
 * Runs the job of a run once more, as the job is now and with the same env. Throws run_not_found, job_not_found,
 * job_disabled, queue_full.
 */
export async function rerun({ db, queue }: Infra, caller: Caller, id: string): Promise<string> {
  return db.transaction(async (tx) => {
    const run = await findAsked(tx, id);
    if (run === undefined) throw runNotFound(id);
    const { job, env, fireEvents } = run;
    if (job.deletedAt !== null) throw new CarillonError("job_not_found", `job ${job.name} has been deleted`);
    const [again] = await createRuns(queue, tx, [
      {
        jobId: job.id,
        trigger: "rerun",
        triggeredBy: "rerun",
        triggeredAt: await databaseNow(tx),
        env: env as Record<string, string>,
        fireEvents,
        rerunOfId: id,
      },
    ]);
    if (again === undefined) throw jobDisabled(job.name);
    await audit(tx, caller, "run.rerun", id, { job: job.name, run: again });
    return again;
  });
}

const ASKED = {
  env: true,
  fireEvents: true,
  job: { select: { id: true, name: true, deletedAt: true } },
} as const;

/** What a run was asked to do. */
export async function findAsked(
  tx: Tx,
  id: string,
): Promise<Prisma.RunGetPayload<{ select: typeof ASKED }> | undefined> {
  // Retention must not delete it before the run that repeats it points to it.
  await tx.$queryRaw`SELECT 1 AS locked FROM run WHERE id = ${id}::uuid FOR KEY SHARE`;
  return (await tx.run.findUnique({ where: { id }, select: ASKED })) ?? undefined;
}
