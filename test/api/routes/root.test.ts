/** The answer at the root: what it says is true, and every call that it names works. */
import supertest from "supertest";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { startTestService, type TestService } from "../../support/test-service.ts";

let service: TestService;
beforeEach(async () => {
  service = await startTestService();
}, 30_000);
afterEach(() => service?.[Symbol.asyncDispose]());

const root = (accept = "*/*") =>
  supertest(service.url)
    .get("/")
    .set({ authorization: `Bearer ${service.token}`, accept });

/** Makes the calls of a text in their order, as a shell and curl would; answers what each was. */
async function makeCalls(text: string): Promise<string[]> {
  const lines = [...text.matchAll(/^ {2}curl -sS -H "\$AUTH" (?:--json '(.+)' )?(?:-X (\S+) )?'(\S+)'$/gm)];
  expect(lines).toHaveLength(text.match(/curl/g)?.length ?? 0);
  const made: string[] = [];
  for (const [, body, method = "GET", url = ""] of lines) {
    const headers = { authorization: `Bearer ${service.token}`, "content-type": "application/json" };
    const answer = await fetch(url, { method, headers, ...(body !== undefined && { body }) });
    made.push(`${method} ${decodeURI(url.replace(service.url, ""))} ${answer.status}`);
  }
  return made;
}

describe("a curl client", () => {
  it("learns how to make the first job, and then what to do with it", async () => {
    const { text, headers } = await root().expect(200);
    expect(headers["content-type"]).toBe("text/plain; charset=utf-8");
    expect(text).toMatch(/^Carillon \d+\.\d+\.\d+ on http:\/\/127\.0\.0\.1:\d+: no job, no active run\.\n/);
    expect(await makeCalls(text)).toEqual([
      "PUT /api/v1/jobs/hello 201",
      "POST /api/v1/jobs/hello/trigger?wait=30s 200",
      "GET /api/v1/runs 200",
    ]);

    const after = (await root().expect(200)).text;
    expect(after).toMatch(/: 1 job, no active run\.\n/);
    expect(await makeCalls(after)).toEqual([
      "GET /api/v1/jobs 200",
      "POST /api/v1/jobs/hello/trigger?wait=30s 200",
      "GET /api/v1/runs 200",
    ]);
  });

  it("sees active runs, and no suggestion to trigger a disabled job", async () => {
    await service.client.putJob("a", { command: "true", enabled: false });
    expect(await makeCalls((await root()).text)).toEqual(["GET /api/v1/jobs 200", "GET /api/v1/runs 200"]);

    await service.client.putJob("it's brewing", { command: "exec sleep 60" });
    const { id } = await service.client.trigger("it's brewing");
    const { text } = await root();
    expect(text).toContain(": 2 jobs, 1 active run.\n");
    expect(text).toContain(`'${service.url}/api/v1/jobs/it%27s%20brewing/trigger?wait=30s'`);
    await service.client.call("POST", `/runs/${id}/cancel`);
  });

  it("sees the host that was called, and needs the token", async () => {
    const { port } = new URL(service.url);
    const { text } = await root().set("host", `localhost:${port}`).expect(200);
    expect(text).toContain(`http://localhost:${port}/api/v1/jobs/hello`);
    expect(text).not.toContain("127.0.0.1");
    expect(text).not.toContain(service.token);
    await supertest(service.url).get("/").expect(401);
  });
});

describe("a program", () => {
  it("gets the name, the version and links that work", async () => {
    const { body, headers } = await root("application/json").expect(200);
    expect(headers["content-type"]).toMatch(/^application\/json/);
    expect(body).toEqual({
      name: "carillon",
      version: expect.stringMatching(/^\d+\.\d+\.\d+$/),
      links: expect.objectContaining({ jobs: `${service.url}/api/v1/jobs` }),
    });
    for (const link of Object.values<string>(body.links)) {
      const { status } = await fetch(link, { headers: { authorization: `Bearer ${service.token}` } });
      expect([link, status]).toEqual([link, 200]);
    }
  });
});
