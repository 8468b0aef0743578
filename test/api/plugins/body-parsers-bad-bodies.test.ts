/** Bodies that have broken other services, and exactly how this one answers each. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ask } from "../../support/raw-http.ts";
import { startTestService, type TestService } from "../../support/test-service.ts";

const KB = 1_024;
const JOB_LIMIT = 256 * KB;
const SCHEDULE_LIMIT = 2 * KB * KB;

let service: TestService;
beforeAll(async () => {
  service = await startTestService({ ROLES: "api" });
  await service.client.putJob("coffee", { command: "true" });
}, 30_000);
afterAll(() => service?.[Symbol.asyncDispose]());

async function expectAnswer(
  [line, headers, body]: [string, (readonly string[])?, (string | Buffer)?],
  status: number,
  code?: string,
): Promise<void> {
  const answer = await ask(service, line, headers, body);
  expect(answer).toEqual({ status, code, body: answer.body });
}

/** A job document of so many bytes. */
const ofSize = (bytes: number, [before, after] = ['{"command":"true","description":"', '"}']) =>
  `${before}${" ".repeat(bytes - before.length - after.length)}${after}`;

describe("a body", () => {
  const PUT = "PUT /api/v1/jobs/coffee";
  const PATCH = "PATCH /api/v1/jobs/coffee";
  const TRIGGER = "POST /api/v1/jobs/coffee/trigger";
  const SCHEDULE = "PUT /api/v1/schedules/kitchen";
  const field = (name: string, value: string) => `{"command":"true","${name}":${value}}`;
  const nul = '"a\\u0000b"';
  const half = '"\\ud800"';

  it.each([
    ...Object.entries({
      command: nul,
      cron: nul,
      timezone: nul,
      env: `{"A":${nul}}`,
      working_directory: nul,
      timeout: nul,
      retry: `{"delay":${nul}}`,
      concurrency: `{"limit":1,"policy":${nul}}`,
      log_retention_period: nul,
      encoding: nul,
      description: nul,
      labels: `{"a":${nul}}`,
      schedule: nul,
      on_error: `{"notify_webhook":[${nul}]}`,
      on_success: `{"notify_webhook":[{"url":"https://example.org/","headers":{"A":${nul}}}]}`,
      on_retries_exhausted: `{"trigger_job":[${nul}]}`,
    }).map(
      ([name, value]) =>
        [
          `NUL in ${name}`,
          PUT,
          `{"command":"true","${name}":${value}}`.replace(/"command":"true",(?="command")/, ""),
          400,
          "malformed_body",
        ] as const,
    ),
    ["NUL in a key of env", PUT, field("env", `{${nul}:""}`), 400, "malformed_body"],
    ["NUL in a label's name", PUT, field("labels", `{${nul}:""}`), 400, "malformed_body"],
    ["NUL in triggered_by", TRIGGER, `{"triggered_by":${nul}}`, 400, "malformed_body"],
    ["NUL in a pause", "POST /api/v1/jobs/coffee/pause", `{"reason":${nul}}`, 400, "malformed_body"],
    ["NUL in a patch", PATCH, `{"description":${nul}}`, 400, "malformed_body"],
    ["NUL in a job's name", SCHEDULE, `{"jobs":{${nul}:{"command":"true"}}}`, 400, "malformed_body"],
    ["NUL in a document to check", "POST /api/v1/jobs/validate", `{"x":${nul}}`, 400, "malformed_body"],
    ["half a surrogate pair", PUT, field("description", half), 400, "malformed_body"],
    ["half a pair in a key", PUT, field("labels", `{${half}:""}`), 400, "malformed_body"],
    ["half a pair in triggered_by", TRIGGER, `{"triggered_by":${half}}`, 400, "malformed_body"],
    ["a byte order mark", PUT, `\ufeff${field("retries", "1")}`, 200],
    ["100,000 levels", PUT, "[".repeat(100_000) + "]".repeat(100_000), 400, "malformed_body"],
    ["100,000 open levels", PUT, '{"a":'.repeat(50_000), 400, "malformed_body"],
    [
      "100,000 levels within a field",
      PUT,
      field("labels", "[".repeat(99_000) + "]".repeat(99_000)),
      400,
      "malformed_body",
    ],
    ["__proto__", PUT, field("__proto__", '{"retries":1}'), 400, "malformed_body"],
    ["constructor", PUT, field("constructor", '{"prototype":{}}'), 400, "malformed_body"],
    ["__proto__ as a job", SCHEDULE, '{"jobs":{"__proto__":{"command":"true"}}}', 400, "malformed_body"],
    ["__proto__ in a patch", PATCH, '{"labels":{"__proto__":{"x":"1"}}}', 400, "malformed_body"],
    ["toString as a field", PUT, field("toString", "1"), 422, "invalid_document"],
    ["toString as a label", PUT, field("labels", '{"toString":"1","valueOf":"2"}'), 200],
    ["toString as a job", SCHEDULE, '{"jobs":{"toString":{"command":"true"}}}', 200],
    ["hasOwnProperty in a patch", PATCH, '{"labels":{"hasOwnProperty":"1"}}', 200],
    ["a key given twice", PUT, '{"command":"a","command":"b"}', 400, "malformed_body"],
    ["NaN", PUT, field("retries", "NaN"), 400, "malformed_body"],
    ["Infinity", PUT, field("retries", "-Infinity"), 400, "malformed_body"],
    ["1e400", PUT, field("retries", "1e400"), 400, "malformed_body"],
    ["1e308", PUT, field("retries", "1e308"), 422, "invalid_document"],
    ["-0", PUT, field("retries", "-0"), 200],
    ["-0 in env", PUT, field("env", '{"A":-0}'), 200],
    ["-1", PUT, field("retries", "-1"), 422, "invalid_document"],
    ["9007199254740993", PUT, field("retries", "9007199254740993"), 422, "invalid_document"],
    ["half a retry", PUT, field("retries", "0.5"), 422, "invalid_document"],
    ["a number as text", PUT, field("retries", '"1"'), 422, "invalid_document"],
    ["an unknown field", PUT, field("comand", '"true"'), 422, "invalid_document"],
    ["an unknown field of a trigger", TRIGGER, '{"command":"rm"}', 422, "invalid_document"],
    ["an empty command", PUT, '{"command":""}', 422, "invalid_document"],
    ["no command's words", PUT, '{"command":[]}', 422, "invalid_document"],
    ["null", PUT, "null", 422, "invalid_document"],
    ["a list", PUT, "[]", 422, "invalid_document"],
    ["a text", PATCH, '"x"', 422, "invalid_document"],
    ["a list of jobs", SCHEDULE, '{"jobs":[]}', 422, "invalid_document"],
    ["a long timeout", PUT, field("timeout", '"99999999999h"'), 422, "invalid_document"],
    ["an endless retention", PUT, field("log_retention_period", '"1e9 years"'), 422, "invalid_document"],
    ["an impossible cron", PUT, field("cron", '"0 0 31 2 *"'), 422, "invalid_document"],
    ["a long cron", PUT, field("cron", `"${"1,".repeat(50_000)}1 * * * *"`), 422, "invalid_document"],
    [
      "a file URL",
      PUT,
      field("on_error", '{"notify_webhook":["file:///etc/passwd"]}'),
      422,
      "invalid_document",
    ],
    [
      "line ends in a header",
      PUT,
      field("on_error", '{"notify_webhook":[{"url":"https://example.org/","headers":{"A":"b\\r\\nC: d"}}]}'),
      422,
      "invalid_document",
    ],
    [
      "a name with a way out",
      "POST /api/v1/jobs",
      '{"name":"../x","command":"true"}',
      422,
      "invalid_document",
    ],
    ["no bytes where one is needed", PUT, "", 422, "invalid_document"],
    ["only a space", PUT, " ", 400, "malformed_body"],
    ["no JSON", PUT, "command=true", 400, "malformed_body"],
    ["two values", PUT, "{}{}", 400, "malformed_body"],
    ["bytes that are no UTF-8", PUT, Buffer.from('{"command":"\xff"}', "latin1"), 400, "malformed_body"],
    ["one byte less than the limit", PATCH, ofSize(JOB_LIMIT - 1), 422, "invalid_document"],
    ["the limit", PATCH, ofSize(JOB_LIMIT), 422, "invalid_document"],
    ["one byte more than the limit", PATCH, ofSize(JOB_LIMIT + 1), 413, "body_too_large"],
    ["the limit of schedules", SCHEDULE, ofSize(SCHEDULE_LIMIT, ['{"jobs":{}', "}"]), 200],
    [
      "one byte more than that",
      SCHEDULE,
      ofSize(SCHEDULE_LIMIT + 1, ['{"jobs":{}', "}"]),
      413,
      "body_too_large",
    ],
  ] as const)("with %s to %s", async (_name, line, body, status, code?: string) => {
    await expectAnswer([`${line} HTTP/1.1`, ["Content-Type: application/json"], body], status, code);
  });
});
