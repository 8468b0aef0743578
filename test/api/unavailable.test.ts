/** Without its database the service says so, and says when to come back. */
import supertest from "supertest";
import { expect, it } from "vitest";
import { startTestService } from "../support/test-service.ts";

it("answers 503 with Retry-After, whatever is asked", async () => {
  await using service = await startTestService({ ROLES: "api" });
  await service.client.putJob("job", { command: "true" });
  await service.database.drop();
  const call = (method: "get" | "post" | "put" | "delete", path: string) =>
    supertest(service.url)[method](`/api/v1${path}`).set("authorization", `Bearer ${service.token}`);
  for (const asked of [
    call("get", "/jobs"),
    call("get", "/runs"),
    call("put", "/jobs/job").send({ command: "false" }),
    call("post", "/jobs/job/trigger?wait=1s"),
    call("delete", "/jobs/job"),
  ]) {
    const { status, headers, body } = await asked;
    expect({ status, code: body.code, retryAfter: headers["retry-after"] }).toEqual({
      status: 503,
      code: "unavailable",
      retryAfter: "5",
    });
  }
});
