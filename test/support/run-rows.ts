/** Writes rows of runs straight into the database: histories that would take long to live through. */
import { v7 as uuidv7 } from "uuid";
import type { PrismaClient } from "../../src/postgres/generated/client.ts";

type RunRow = NonNullable<Parameters<PrismaClient["run"]["createMany"]>[0]>["data"];
type OneRow = Exclude<RunRow, unknown[] | undefined>;

/** Inserts runs of a job, the oldest first, and answers their ids; `fields` may say more of each. */
export async function insertRuns(
  prisma: PrismaClient,
  job: string,
  count: number,
  fields: (index: number) => Partial<OneRow>,
): Promise<string[]> {
  const { id: jobId, currentRevisionId } = await prisma.job.findFirstOrThrow({
    where: { name: job, deletedAt: null },
  });
  const data = Array.from({ length: count }, (_, index) => ({
    id: uuidv7(),
    jobId,
    revisionId: String(currentRevisionId),
    trigger: "api" as const,
    triggeredBy: "api",
    triggeredAt: new Date(),
    ...fields(index),
  }));
  await prisma.run.createMany({ data });
  return data.map(({ id }) => id);
}
