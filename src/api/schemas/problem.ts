/** The body of every error answer (RFC 9457). */
import { z } from "zod";
import { errorCatalogue } from "../../core/errors.ts";

const codes = errorCatalogue().map(({ code }) => code);

export const problemSchema = z
  .object({
    type: z.string().describe("`urn:carillon:problem:` and the code"),
    title: z.string().describe("What the code means, the same for every occurrence"),
    status: z.int(),
    detail: z.string().describe("What happened and what to do about it"),
    instance: z.string().optional().describe("The path that was called"),
    code: z.enum(codes).describe("Stable; meant for programs"),
    errors: z
      .array(z.object({ path: z.string(), message: z.string() }))
      .optional()
      .describe("The fields at fault"),
  })
  .meta({
    id: "Problem",
    example: {
      type: "urn:carillon:problem:invalid_document",
      title: "The document is not valid",
      status: 422,
      detail: 'jobs.coffee.crn: unknown field; did you mean "cron"?',
      instance: "/api/v1/schedules/default",
      code: "invalid_document",
      errors: [{ path: "jobs.coffee.crn", message: 'unknown field; did you mean "cron"?' }],
    },
  });

export type Problem = z.infer<typeof problemSchema>;

const problemResponse = (description: string) => ({
  description,
  content: { "application/problem+json": { schema: problemSchema } },
});

/** For `schema.response` of a route: what it may answer besides success. */
export const problemResponses = {
  "4xx": problemResponse("The request was refused"),
  "5xx": problemResponse("The service failed"),
};
