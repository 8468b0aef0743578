/** The body of every error answer (RFC 9457). */

import { z } from "zod";
import { errorCatalogue } from "../../errors.ts";
import { CONTENT_RANGE, RETRY_AFTER, RUN_HEADERS } from "./answer-headers.ts";

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

const REFUSALS = {
  400: "The request is malformed",
  401: "A valid token is required",
  403: "The token does not allow this, or the host name or web site that calls is not ours",
  404: "There is no such thing",
  409: "It clashes with what there is",
  413: "The body is too large",
  415: "The body is neither JSON nor YAML",
  416: "There is nothing in this range; Content-Range says how many bytes there are",
  422: "The document is not valid",
  424: "The run has failed",
  429: "Too many calls, or too many runs of the job wait; Retry-After says when to come back",
  503: "The service cannot answer right now; Retry-After says when to come back",
};

type Refusal = keyof typeof REFUSALS;

const HEADERS: { [status: number]: object } = {
  416: CONTENT_RANGE,
  424: RUN_HEADERS,
  429: RETRY_AFTER,
  503: RETRY_AFTER,
};

/** What calls without a token may answer besides success. */
const EVERYWHERE = [403, 503] as const;

interface ProblemResponse {
  description: string;
  headers?: object | undefined;
  content: { "application/problem+json": { schema: typeof problemSchema } };
}

/** For `schema.response` of a route: what it may answer besides success and what every route with a token may. */
export function problems<Status extends Refusal>(...statuses: Status[]) {
  return openProblems<Status | 401 | 429>(401, 429, ...statuses);
}

/** The same for a route that wants no token. */
export function openProblems<Status extends Refusal = never>(...statuses: Status[]) {
  const all = [...EVERYWHERE, ...statuses];
  const responses = all.map((status): [number, ProblemResponse] => [
    status,
    {
      description: REFUSALS[status],
      ...(status in HEADERS && { headers: HEADERS[status] }),
      content: { "application/problem+json": { schema: problemSchema } },
    },
  ]);
  return Object.fromEntries(responses) as Record<(typeof all)[number], ProblemResponse>;
}
