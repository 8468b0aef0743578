/** Six secrets are planted, and none is found in logs, answers, errors, commands' environments or the database. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { redactionPatterns } from "../../src/text/redaction.ts";
import { createClient } from "../support/api-client.ts";
import { dumpTables } from "../support/database-dump.ts";
import { freshDatabase, type TestDatabase } from "../support/fresh-database.ts";
import { echo, type Sink, startSink } from "../support/http-sink.ts";
import { type ServiceProcess, startProcess } from "../support/service-process.ts";
import { type Folder, temporaryFolder } from "../support/temporary-folder.ts";

const WORD = "kAn4ry";
const CANARIES = {
  databaseUrl: `${WORD}-database-password`,
  jobSecret: `${WORD}-job-secret-value`,
  signingSecret: `${WORD}-signing-secret-of-some-length`,
  slackUrl: `/services/T0/B0/${WORD}-slack-path`,
};

/** All that must not be found, once the service has made its own. */
const planted: Record<string, string> = { ...CANARIES };
/** All places where it could be. */
const seen: Record<string, string> = {};

let service: ServiceProcess;
let database: TestDatabase;
let folder: Folder;
let sink: Sink;
const stack = new AsyncDisposableStack();

beforeAll(async () => {
  database = stack.use(await freshDatabase());
  folder = stack.use(await temporaryFolder());
  // A receiver says what it knows: all that it was sent, and what it checks signatures with.
  const signed = echo(500, CANARIES.signingSecret);
  sink = stack.use(await startSink((...call) => (call[0].path === "/hook" ? signed : echo(500))(...call)));
  const url = new URL(database.connectionString);
  url.password = CANARIES.databaseUrl;
  service = stack.use(
    await startProcess({
      DATABASE_URL: url.href,
      DATA_DIR: join(folder.path, "data"),
      JOBS_DIR: folder.path,
      WEBHOOK_ALLOW_CIDR: "127.0.0.1/32",
      LOG_LEVEL: "trace",
    }),
  );
  await exercise();
}, 90_000);
afterAll(() => stack.disposeAsync());

async function exercise(): Promise<void> {
  const answers: string[] = [];
  const others: string[] = [];
  const call = async (method: string, path: string, body?: unknown) => {
    const said = async (client = service.client) => {
      const { status, headers, body: text } = await client.call<unknown>(method, path, body);
      answers.push(`${method} ${path} ${status} ${JSON.stringify([...headers])} ${JSON.stringify(text)}`);
      return text as Record<string, string>;
    };
    if (method === "GET") for (const token of others) await said(createClient(service.url, token));
    return said();
  };
  await call("PUT", "/secrets/job", { value: CANARIES.jobSecret });
  await call("PUT", "/secrets/signing", { value: CANARIES.signingSecret });
  await call("PUT", "/secrets/slack", { value: sink.url(CANARIES.slackUrl) });
  await call("PUT", "/secrets/job", { value: CANARIES.jobSecret, more: CANARIES.jobSecret });
  for (const scope of ["read", "trigger"]) {
    const asked = { name: scope, scopes: [scope] };
    const { body } = await service.client.call<{ token: string }>("POST", "/tokens", asked);
    planted[`${scope} token`] = body.token;
    others.push(body.token);
  }
  planted["adminToken"] = (await readFile(join(folder.path, "data/admin-token"), "utf8")).trim();
  planted["masterKey"] = (await readFile(join(folder.path, "data/secret-keys"), "utf8")).trim().slice(9);
  // What a command has that names no secret.
  await call("PUT", "/jobs/environment", { command: "env; tr '\\0' '\\n' < /proc/self/environ" });
  // It prints what it has, in all forms that a program might, and in two halves.
  const prints =
    'echo "key $KEY"; printf %s "$KEY" | base64; printf "%s" "$KEY" | cut -c1-9 | tr -d "\\n"; sleep 0.3; ' +
    'printf "%s" "$KEY" | cut -c10-; exit 1';
  await call("PUT", "/jobs/loud", {
    command: prints,
    env: { KEY: { secret: "job" } },
    on_error: {
      notify_webhook: [{ url: sink.url("/hook"), secret: "signing" }],
      notify_slack_webhook: [{ url: { secret: "slack" } }],
      trigger_job: ["environment"],
    },
  });
  await call("PUT", "/jobs/loud", { command: prints, env: { KEY: { secret: "nothing" } } });
  const run = await call("POST", "/jobs/loud/trigger?wait=20s", {});
  await sink.waitFor(2, 20_000);
  for (const path of ["", "/log", "/tree"]) await call("GET", `/runs/${run["id"]}${path}`);
  for (const path of [
    "/secrets",
    "/jobs",
    "/jobs/loud",
    "/jobs/loud/revisions",
    "/runs",
    "/tokens",
    "/audit",
  ]) {
    await call("GET", path);
  }
  const [child] = await service.client.runs("job=environment");
  seen["environment"] = JSON.stringify(await call("GET", `/runs/${child?.id}?wait=20s`));
  await call("GET", "/deliveries");
  for (const { id } of (await service.client.call<{ items: { id: string }[] }>("GET", "/deliveries")).body
    .items) {
    await call("GET", `/deliveries/${id}`);
  }
  seen["answers"] = answers.join("\n");
  seen["bodies"] = sink.received.map(({ headers, body }) => JSON.stringify(headers) + body).join("\n");
  seen["database"] = await dumpTables(database.connectionString);
  await service.end("SIGTERM");
  seen["logs"] = service.output();
}

it("really uses every canary, so that a leak would be found", () => {
  expect(sink.received.map(({ path }) => path)).toContain(CANARIES.slackUrl);
  expect(seen["answers"]).toContain("[redacted]");
  expect(seen["bodies"]).toContain("webhook-signature");
  expect(seen["logs"]).toContain('"path":"/api/v1/secrets/job"');
  expect(seen["database"]).toContain("loud");
  expect(seen["environment"]).toContain("CARILLON_JOB=environment");
});

it.each([...Object.keys(CANARIES), ...["read token", "trigger token", "adminToken", "masterKey"]])(
  "finds no %s anywhere, in any form",
  (name) => {
    const canary = planted[name] ?? "";
    expect(canary.length).toBeGreaterThan(8);
    const halves = name === "jobSecret" ? [canary.slice(0, 9), canary.slice(9)] : [];
    const forms = [...redactionPatterns([canary]).map(String), ...halves];
    const hits = Object.entries(seen).flatMap(([place, text]) =>
      forms.filter((form) => text.includes(form)).map((form) => `${form} in ${place}`),
    );
    expect(hits).toEqual([]);
  },
);
