/** Values of env, of headers and of a webhook's path are for admins: no GET of the API gives them to other tokens. */
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { echo, type Sink, startSink } from "../../support/http-sink.ts";
import { makeToken } from "../../support/make-token.ts";
import { type Route, routeTable } from "../../support/route-table.ts";
import { startTestService, type TestService } from "../../support/test-service.ts";

const WORD = "kAn4ry";
const URL_PATH = `/hooks/${WORD}-path/of-some-length?key=${WORD}-query`;
const HEADERS = { Authorization: `Bearer ${WORD}-header-value` };
const ENV = { CUP: `${WORD}-env-value` };
/** Where an admin reads them: they are there to be found. */
const SHOWN_TO_ADMINS = [
  "/api/v1/jobs",
  "/api/v1/jobs/:name",
  "/api/v1/jobs/:name/revisions",
  "/api/v1/jobs/:name/revisions/:number",
  "/api/v1/runs/:id",
  "/api/v1/deliveries",
  "/api/v1/deliveries/:id",
  "/api/v1/schedules/:name",
];

const gets = (await routeTable()).filter(({ method }) => method === "GET");
const ids = { run: "", delivery: "" };

let service: TestService;
let sink: Sink;
const tokens: Record<string, string> = {};
beforeAll(async () => {
  sink = await startSink(echo(500));
  service = await startTestService();
  const action = { notify_webhook: [{ url: sink.url(URL_PATH), headers: HEADERS }] };
  await service.client.call("PUT", "/schedules/kitchen", {
    on_success: action,
    jobs: { coffee: { command: "true", env: ENV, params: ["CUP"], on_success: action } },
  });
  tokens["admin"] = service.token;
  tokens["read"] = await makeToken(service, "reader", { scopes: ["read"] });
  tokens["trigger"] = await makeToken(service, "button", { scopes: ["trigger"] });
  ids.run = (await service.client.trigger("coffee", { env: ENV }, "30s")).id;
  const tried = async () => (await service.client.run(ids.run)).deliveries[0];
  await vi.waitFor(async () => expect((await tried())?.tries).toHaveLength(1), { timeout: 20_000 });
  ids.delivery = String((await tried())?.id);
}, 30_000);
afterAll(async () => {
  await service?.[Symbol.asyncDispose]();
  await sink?.[Symbol.asyncDispose]();
});

async function read({ url }: Route, credential: string): Promise<{ status: number; text: string }> {
  const path = url
    .replace("schedules/:name", "schedules/kitchen")
    .replace("tokens/:name", "tokens/reader")
    .replace(":name", "coffee")
    .replace(":number", "1")
    .replace("deliveries/:id", `deliveries/${ids.delivery}`)
    .replace(":id", ids.run);
  const headers = { authorization: `Bearer ${tokens[credential]}` };
  const answer = await fetch(service.url + path, { headers });
  return { status: answer.status, text: JSON.stringify([...answer.headers]) + (await answer.text()) };
}

it.each(gets)("GET $url", async (route) => {
  const admin = await read(route, "admin");
  expect(admin.status).toBe(200);
  expect(admin.text.includes(WORD)).toBe(SHOWN_TO_ADMINS.includes(route.url));
  for (const credential of ["read", "trigger"]) {
    const { status, text } = await read(route, credential);
    const isTheirs = route.access === "public" || route.access.includes(credential);
    expect([credential, status]).toEqual([credential, isTheirs ? 200 : 403]);
    expect(text).not.toContain(WORD);
  }
});

it("stores nothing of what a receiver says of them", async () => {
  const [made] = await service.prisma.deliveryTry.findMany();
  expect(made?.response).toContain("[redacted]");
  expect(made?.response).not.toContain(WORD);
  expect(sink.received[0]?.path).toBe(URL_PATH);
});

it("answers a trigger without them", async () => {
  const answer = await fetch(`${service.url}/api/v1/jobs/coffee/trigger?wait=30s`, {
    method: "POST",
    headers: { authorization: `Bearer ${tokens["trigger"]}`, "content-type": "application/json" },
    body: JSON.stringify({ env: ENV }),
  });
  expect(answer.status).toBe(200);
  expect(await answer.text()).not.toContain(WORD);
});
