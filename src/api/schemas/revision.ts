/** A job revision as the API answers it. */

import { z } from "zod";
import type { StoredRevision } from "../../jobs/revisions.ts";
import { JOB_VIEW } from "./examples.ts";
import { jobDocument } from "./job.ts";
import { jobViewSchema } from "./job-view.ts";

const REVISION = { number: 1, created_at: JOB_VIEW.created_at };

const documentSchema = jobViewSchema
  .omit({
    schedule: true,
    inherited_timezone: true,
    retries: true,
    revision: true,
    created_at: true,
    updated_at: true,
    paused: true,
    next_runs: true,
  })
  .partial({ timezone: true });

const { schedule: _schedule, retries: _retries, ...view } = JOB_VIEW;
const document = documentSchema.parse(view);

export const revisionSchema = z
  .object({
    number: z.int(),
    created_at: z.iso.datetime(),
    document: documentSchema.describe("What the job said; a PUT of it brings that back"),
  })
  .meta({ id: "JobRevision", example: { ...REVISION, document } });

export const revisionListSchema = z
  .object({ items: z.array(revisionSchema), next_cursor: z.string().nullable() })
  .meta({ id: "JobRevisionList", example: { items: [{ ...REVISION, document }], next_cursor: null } });

/** A revision on the wire. */
export function revisionView(revision: StoredRevision): z.input<typeof revisionSchema> {
  return {
    number: revision.number,
    created_at: revision.createdAt.toISOString(),
    document: jobDocument(revision.definition),
  };
}
