/** The calls that save and delete single jobs. */
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { z } from "zod";
import { CarillonError } from "../../errors.ts";
import type { Infra } from "../../infra.ts";
import type { StoredJob } from "../../jobs/find.ts";
import { DEFAULT_SCHEDULE } from "../../jobs/rules/definition.ts";
import { patchJobDocument } from "../../jobs/rules/patch.ts";
import type { Database } from "../../postgres/client.ts";
import { triggerRun } from "../../runs/trigger-by-caller.ts";
import { createJob, deleteJob, editJob, putJob, type SavedJob } from "../../schedules/save-job.ts";
import { parseDocument } from "../plugins/validation.ts";
import { nameSchema, type Warning } from "../schemas/fields.ts";
import { jobSchema, putJobSchema } from "../schemas/job.ts";
import { savedJobSchema } from "../schemas/job-answers.ts";
import { problems } from "../schemas/problem.ts";
import {
  createQuerySchema,
  jobPatchSchema,
  savedOrChangesSchema,
  saveQuerySchema,
} from "../schemas/saves.ts";
import { TRIGGER_ANSWERS } from "../schemas/trigger.ts";
import type { ApiSettings } from "../settings.ts";
import { changesOfJob } from "../views/changes.ts";
import { jobView } from "../views/job.ts";
import { jobDefinition, jobDocument, namedJob } from "../views/job-document.ts";
import { answerRun } from "../views/run-answer.ts";
import { jobWarnings } from "../views/warnings.ts";

const PATH = "/api/v1/jobs";
const params = z.object({ name: nameSchema });
const tags = ["jobs"];

/** The settings of the calls that save jobs. */
type SaveSettings = Pick<ApiSettings, "defaultTimezone" | "advice" | "reader" | "closing">;

/** All calls that save or delete single jobs. */
export const jobSaves =
  (infra: Infra, settings: SaveSettings): FastifyPluginAsyncZod =>
  async (app) => {
    await app.register(jobCreation(infra, settings));
    await app.register(jobChanges(infra, settings));
  };

const jobCreation =
  (infra: Infra, settings: SaveSettings): FastifyPluginAsyncZod =>
  async (app) => {
    const { advice, defaultTimezone } = settings;
    app.post(
      PATH,
      {
        config: { scope: "admin" },
        schema: {
          summary: "Create a job; with `run=true` also run it at once, and return the run",
          tags,
          querystring: createQuerySchema,
          body: jobSchema,
          response: { ...TRIGGER_ANSWERS, 201: savedJobSchema, ...problems(400, 409, 413, 415, 422, 424) },
        },
      },
      async ({ query: { run = false, ...query }, body: { name, ...document }, caller }, reply) => {
        if (run && document.enabled === false) {
          throw new CarillonError(
            "job_disabled",
            "A disabled job cannot run: leave out run=true or enabled: false.",
          );
        }
        const job = await createJob(infra, caller, jobDefinition(name, document));
        if (!run) {
          reply.code(201).header("location", jobPath(name));
          return savedView(infra.db, job, defaultTimezone, jobWarnings(document, advice));
        }
        const { id } = await triggerRun(infra, caller, { job: name });
        reply.header("location", `/api/v1/runs/${id}`);
        return answerRun(infra, caller, reply, id, { ...query, unfinished: 202 }, settings);
      },
    );
  };

const jobChanges =
  (infra: Infra, settings: SaveSettings): FastifyPluginAsyncZod =>
  async (app) => {
    const { advice, defaultTimezone } = settings;
    const answer = ({ before, job }: SavedJob, warnings: Warning[], dryRun: boolean) =>
      dryRun
        ? changesOfJob(before, job, { dryRun, warnings })
        : savedView(infra.db, job, defaultTimezone, warnings);

    app.put(
      `${PATH}/:name`,
      {
        config: { scope: "admin" },
        schema: {
          summary: "Create or replace a job",
          tags,
          params,
          querystring: saveQuerySchema,
          body: putJobSchema,
          response: { 200: savedOrChangesSchema, 201: savedJobSchema, ...problems(400, 413, 415, 422) },
        },
      },
      async ({ params: { name }, query: { dry_run: dryRun = false }, body, caller }, reply) => {
        const saved = await putJob(infra, caller, namedJob(name, body), { dryRun });
        if (saved.before === undefined && !dryRun) reply.code(201).header("location", jobPath(name));
        return answer(saved, jobWarnings(body, advice), dryRun);
      },
    );

    app.patch(
      `${PATH}/:name`,
      {
        config: { scope: "admin" },
        schema: {
          summary:
            "Change fields of a job (RFC 7396): `null` removes a field, and `schedule: null` moves the job to `default`",
          tags,
          params,
          querystring: saveQuerySchema,
          body: jobPatchSchema,
          response: { 200: savedOrChangesSchema, ...problems(400, 404, 413, 415, 422) },
        },
      },
      async ({ params: { name }, query: { dry_run: dryRun = false }, body, caller }) => {
        const saved = await editJob(infra, caller, name, (job) => applyPatch(job, body), { dryRun });
        return answer(saved, jobWarnings(jobDocument(saved.job.definition), advice), dryRun);
      },
    );

    app.delete(
      `${PATH}/:name`,
      {
        config: { scope: "admin" },
        schema: {
          summary: "Delete a job; its history stays",
          tags,
          params,
          response: { 204: z.null(), ...problems(400, 404, 409, 413, 415) },
        },
      },
      async ({ params: { name }, caller }, reply) => {
        await deleteJob(infra, caller, name);
        return reply.code(204).send(null);
      },
    );
  };

async function savedView(db: Database, job: StoredJob, defaultTimezone: string, warnings: Warning[]) {
  return { ...jobView(job, defaultTimezone, await db.now()), warnings };
}

function applyPatch({ definition }: StoredJob, patch: Record<string, unknown>) {
  const document = parseDocument(putJobSchema, patchJobDocument(jobDocument(definition), patch));
  // Only null removes the schedule, and a job without a schedule belongs to the default one.
  return namedJob(definition.name, { schedule: DEFAULT_SCHEDULE, ...document });
}

function jobPath(name: string): string {
  return `${PATH}/${encodeURIComponent(name)}`;
}
