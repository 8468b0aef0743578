/** A scheduler on its own database whose clock the test sets, with a view of what became of each slot. */
import pino from "pino";
import { putJobSchema } from "../../src/api/schemas/job.ts";
import { jobDefinition } from "../../src/api/views/job-document.ts";
import { createBeat } from "../../src/scheduler/beat.ts";
import { readClock } from "../../src/scheduler/progress.ts";
import { putJob } from "../../src/schedules/save-job.ts";
import { ADMINISTRATOR, type TestInfra, testInfra, UTC } from "./test-infra.ts";

export interface TestScheduler extends AsyncDisposable {
  infra: TestInfra;
  /** The lines of its log so far. */
  log: { level: number; msg: string; rows?: number }[];
  /** Does a beat at each time, in the scheduler that has run from the beginning. */
  beatAt(...times: Date[]): Promise<void>;
  /** Does one beat in a newly started scheduler. */
  restartAt(now: Date): Promise<void>;
  /** Saves a job as if at the time `since`. */
  putJob(name: string, document: object, since: Date): Promise<string>;
  /** Returns what became of each slot, in order: `10:01 missed`, `10:02 catch_up`, `10:03 cron`, `10:04 skipped`. */
  slots(job?: string): Promise<string[]>;
}

/** Starts a test scheduler; `await using` closes it. */
export async function testScheduler(): Promise<TestScheduler> {
  const infra = await testInfra();
  const { prisma } = infra.db;
  const lines: TestScheduler["log"] = [];
  const log = pino({ level: "info" }, { write: (line: string) => lines.push(JSON.parse(line)) });
  let now = new Date();
  const newBeat = () => {
    const readNow = () => now;
    return createBeat(infra, {
      ...UTC,
      log,
      clock: async () => ({ ...(await readClock(prisma)), now: readNow() }),
    });
  };
  const steady = newBeat();
  return {
    infra,
    log: lines,
    async beatAt(...times) {
      for (now of times) await steady();
    },
    async restartAt(time) {
      now = time;
      await newBeat()();
    },
    async putJob(name, document, since) {
      const { job } = await putJob(
        infra,
        ADMINISTRATOR,
        jobDefinition(name, putJobSchema.parse({ command: "true", ...document })),
      );
      const createdAt = since;
      await prisma.jobRevision.update({ where: { id: job.revisionId }, data: { createdAt } });
      await prisma.job.update({ where: { id: job.id }, data: { updatedAt: since } });
      await prisma.schedule.updateMany({ data: { updatedAt: new Date(0) } });
      return job.id;
    },
    async slots(job) {
      const runs = await prisma.run.findMany({
        where: { scheduledFor: { not: null }, ...(job && { job: { name: job } }) },
        orderBy: { scheduledFor: "asc" },
      });
      return runs.map(({ scheduledFor, state, trigger }) => {
        const time = scheduledFor?.toISOString().slice(11, 19).replace(/:00$/, "");
        return `${time} ${state === "queued" ? trigger : state}`;
      });
    },
    [Symbol.asyncDispose]: () => infra[Symbol.asyncDispose](),
  };
}
