/** The body of every error response (RFC 9457). */

import { z } from "zod";
import { errorCatalogue } from "../../errors.ts";
import { CONTENT_RANGE, RETRY_AFTER, RUN_HEADERS } from "./answer-headers.ts";

const codes = errorCatalogue().map(({ code }) => code);

export const problemSchema = z
  .object({
    type: z.string().describe("`urn:carillon:problem:` followed by the code"),
    title: z.string().describe("The meaning of the code, the same in every response"),
    status: z.int(),
    detail: z.string().describe("One sentence or more: what happened, and what the caller can do about it"),
    instance: z.string().optional().describe("The path of the request"),
    code: z.enum(codes).describe("A stable code for programs"),
    errors: z
      .array(z.object({ path: z.string(), message: z.string() }))
      .optional()
      .describe("The wrong fields, at most 50"),
  })
  .meta({
    id: "Problem",
    example: {
      type: "urn:carillon:problem:invalid_document",
      title: "The document is not valid",
      status: 422,
      detail: 'At jobs.coffee.crn: unknown field; did you mean "cron"?',
      instance: "/api/v1/schedules/default",
      code: "invalid_document",
      errors: [{ path: "jobs.coffee.crn", message: 'unknown field; did you mean "cron"?' }],
    },
  });

export type Problem = z.infer<typeof problemSchema>;

const REFUSALS = {
  400: "The request is malformed",
  401: "A valid token is required",
  403: "The token lacks the required scope, or the Host or Origin header is not allowed",
  404: "The resource does not exist",
  409: "The request conflicts with the present state",
  413: "The body is too large",
  415: "The body is neither JSON nor YAML",
  416: "The range is beyond the end; Content-Range contains the total number of bytes",
  422: "The document is not valid",
  424: "The run has failed",
  429: "Too many calls, or too many waiting runs of the job; try again after Retry-After",
  503: "The service is temporarily unavailable; try again after Retry-After",
};

type Refusal = keyof typeof REFUSALS;

const HEADERS: { [status: number]: object } = {
  416: CONTENT_RANGE,
  424: RUN_HEADERS,
  429: RETRY_AFTER,
  503: RETRY_AFTER,
};

/** The error statuses of every call, with or without a token. */
const EVERYWHERE = [403, 503] as const;

interface ProblemResponse {
  description: string;
  headers?: object | undefined;
  content: { "application/problem+json": { schema: typeof problemSchema } };
}

/** The error responses of a route for `schema.response`: the given statuses, and those of every call with a token. */
export function problems<Status extends Refusal>(...statuses: Status[]) {
  return openProblems<Status | 401 | 429>(401, 429, ...statuses);
}

/** The same for a route without a token. */
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
