/** Writes docs/api.md by making every call of the API with curl on a service of its own, or checks that file. */
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import pino from "pino";
import { readConfig } from "../../src/config.ts";
import { startService } from "../../src/service.ts";
import { answer, type Handler, startSink } from "../../test/support/http-sink.ts";
import { createDatabase, dropDatabase, openServer } from "../../test/support/postgres-server.ts";
import type { Call, Chapter, Stats } from "./api-reference/chapter.ts";
import { createNormaliser, type Normaliser } from "./api-reference/normalise.ts";
import {
  callTable,
  describeParameters,
  errorTable,
  fence,
  type Parameter,
  prettyJson,
} from "./api-reference/render.ts";
import { STORY } from "./api-reference/story.ts";
import { firstDifference } from "./openapi.ts";

const FILE = "docs/api.md";
const LOCATION = new URL(`../../${FILE}`, import.meta.url);
const SHOWN_BASE = "http://127.0.0.1:8081";
const SHOWN_SINK = "http://127.0.0.1:9000";
const POLL_MS = 50;
const PATIENCE_MS = 60_000;

const HEADING = `# The API, call by call

_\`npm run api-docs\` writes this page by making each of these calls. \`npm run check\` fails when a response has changed._

\`/docs\` of a running service shows the fields of each call (a browser asks for a name and a password: any name, and the token). \`/openapi.json\` is the OpenAPI 3.1 document.`;

const INTRODUCTION = `- **Tokens.** Every call needs \`Authorization: Bearer <token>\`, except \`/healthz\`, \`/readyz\` and \`/version\`. [SECURITY.md](../SECURITY.md#who-may-do-what) says which scope may do what.
- **Bodies** are JSON, or YAML with \`Content-Type: application/yaml\`. [jobs.md](jobs.md) lists the fields of jobs and schedules.
- **Waiting.** With \`?wait=30s\` (at most 55s) the response is 200 and the run when it has ended, a \`skipped\` run included, else 202 and the run as it is. Without \`wait\`, a trigger is answered with 202 at once. \`?fail=true\` turns a failed run into 424. Closing the connection cancels nothing.
- **Runs** come with the headers \`X-Run-Id\`, \`X-Run-State\` and, once there is one, \`X-Exit-Code\`. \`Accept: text/plain\` gets the log alone.
- **Idempotency.** A trigger that repeats an \`Idempotency-Key\` returns the same run, for 24 h. The same key with another trigger is answered with 422.
- **Lists** have the form \`{"items": [...], "next_cursor": "..."}\` and leave logs out. \`next_cursor\` is the \`cursor\` of the next page, and a \`Link\` header has its path. A call looks at no more than 20,000 rows: a page of rare matches may be short or empty, and \`next_cursor\` continues the search. Only \`null\` means the last page.
- **Times** are UTC in ISO 8601. \`since\` and \`until\` also take an age such as \`2w\` or \`12h\`.
- **Errors** are \`application/problem+json\` with a stable \`code\`: [all codes](#errors).

The calls below stand in the order in which they were made, on a service that began empty. Ids, times, durations, cursors and names of workers are examples. Responses are wrapped, and long ones are cut (\`... more lines\`). The receiver of webhooks listened on port 9000, with \`WEBHOOK_ALLOW_CIDR=127.0.0.1/32\`. The status stands above each response.

\`\`\`sh
AUTH="Authorization: Bearer $(cat data/admin-token)"
BASE=${SHOWN_BASE}
API=$BASE/api/v1
\`\`\``;

const ERRORS = `## Errors

Every refusal is \`application/problem+json\` (RFC 9457) with one of these codes:

${errorTable()}`;

interface Operation {
  method: string;
  url: string;
  summary: string;
  parameters: Parameter[] | undefined;
}

/** The service to call, and the state that calls share. */
interface Scene {
  env: Record<string, string>;
  sink: Awaited<ReturnType<typeof startSink>>;
  normaliser: Normaliser;
  operations: ReadonlyMap<string, Operation>;
}

async function withScene<T>(work: (scene: Scene) => Promise<T>): Promise<T> {
  await using cleanup = new AsyncDisposableStack();
  const folder = await mkdtemp(path.join(tmpdir(), "carillon-api-docs-"));
  cleanup.defer(() => rm(folder, { recursive: true, force: true }));
  const server = await openServer();
  cleanup.defer(() => server.stop());
  const name = `carillon_api_docs_${randomBytes(6).toString("hex")}`;
  const databaseUrl = await createDatabase(server.connectionString, name);
  cleanup.defer(() => dropDatabase(server.connectionString, name));
  const sink = cleanup.use(await startSink(answer(204)));
  const config = readConfig({
    PATH: process.env["PATH"],
    TZ: "UTC",
    PORT: "0",
    DATABASE_URL: databaseUrl,
    DATA_DIR: path.join(folder, "data"),
    JOBS_DIR: folder,
    WEBHOOK_ALLOW_CIDR: "127.0.0.1/32",
    SHUTDOWN_GRACE: "0s",
  });
  const log = pino({ level: "error" }, pino.destination(2));
  const { url = "", token, stop } = await startService(config, log, (error) => log.fatal(error));
  cleanup.defer(stop);
  // So that curl reports the status and type of each response on standard error.
  await writeFile(path.join(folder, ".curlrc"), 'write-out = "%{stderr}%{http_code} %{content_type}"\n');
  const AUTH = `Authorization: Bearer ${token.token}`;
  const env = { PATH: process.env["PATH"] ?? "", CURL_HOME: folder, AUTH, BASE: url, API: `${url}/api/v1` };
  const normaliser = createNormaliser(
    new Map([
      [url, SHOWN_BASE],
      [`http://127.0.0.1:${sink.port}`, SHOWN_SINK],
    ]),
  );
  return await work({ env, sink, normaliser, operations: await readOperations(url, AUTH) });
}

async function readOperations(url: string, authorization: string): Promise<Map<string, Operation>> {
  const response = await fetch(`${url}/openapi.json`, {
    headers: { authorization: authorization.slice(15) },
  });
  const { paths } = (await response.json()) as {
    paths: Record<
      string,
      Record<string, { operationId: string } & Pick<Operation, "summary" | "parameters">>
    >;
  };
  return new Map(
    Object.entries(paths).flatMap(([at, methods]) =>
      Object.entries(methods).map(([method, { operationId, summary, parameters }]) => [
        operationId,
        { method: method.toUpperCase(), url: at, summary, parameters },
      ]),
    ),
  );
}

async function tell(scene: Scene): Promise<string> {
  const told = STORY.flatMap((chapter) => Object.keys(chapter.operations));
  const missing = [...scene.operations.keys()].filter((id) => !told.includes(id));
  if (missing.length > 0)
    throw new Error(`scripts/docs/api-reference/story.ts has no call of ${missing.join(", ")}`);
  const listed = told.flatMap((id) => scene.operations.get(id) ?? []);
  const parts = [HEADING, callTable(listed), INTRODUCTION];
  for (const chapter of STORY) parts.push(...(await tellChapter(scene, chapter)));
  return `${[...parts, ERRORS].join("\n\n")}\n`;
}

async function tellChapter(scene: Scene, { title, text, operations }: Chapter): Promise<string[]> {
  const parts = [`## ${title}`, text];
  for (const [id, calls] of Object.entries(operations)) {
    const operation = scene.operations.get(id);
    if (operation === undefined) throw new Error(`the API has no operation ${id}`);
    const { method, url, summary, parameters } = operation;
    parts.push(`### ${method} ${url}`, `${summary}.`, describeParameters(parameters));
    for (const call of calls) parts.push(...(await tellCall(scene, call)));
  }
  return parts.filter((part) => part !== "");
}

async function tellCall(scene: Scene, call: Call): Promise<string[]> {
  for (const line of call.before ?? []) {
    const { status, body } = await runCurl(scene, line);
    if (status >= 400) throw new Error(`${line}\nanswered ${status}: ${body}`);
  }
  if (call.until !== undefined) await waitUntil(scene, call.until);
  const release = call.holdReceiver ? holdReceiver(scene) : undefined;
  const { status, type, body } = await runCurl(scene, call.curl);
  release?.();
  if (status !== (call.status ?? 200)) throw new Error(`${call.curl}\nanswered ${status}: ${body}`);
  const parts = [call.lead ?? "", fence("sh", call.curl), showAnswer(scene.normaliser, status, type, body)];
  for (const [variable, at] of Object.entries(call.keep ?? {})) {
    scene.env[variable] = String(valueAt(JSON.parse(body), at));
    parts.push(`\`${variable}\` is its \`${at}\`.`);
  }
  const received = call.showReceived ? scene.sink.received.at(-1) : undefined;
  if (received !== undefined) {
    parts.push("What the receiver got:", showJson(scene.normaliser, received.body));
  }
  return parts;
}

/** Runs a line as a reader's shell would. */
async function runCurl({ env, sink }: Scene, line: string) {
  const script = line.replaceAll(SHOWN_SINK, `http://127.0.0.1:${sink.port}`);
  const { stdout, stderr } = await promisify(execFile)("sh", ["-euc", script], { env });
  const [, status, type] = /^(\d{3}) ?(\S*?);?( .*)?$/.exec(stderr) ?? [];
  if (status === undefined || type === undefined) throw new Error(`${line}\nfailed: ${stderr}`);
  return { status: Number(status), type, body: stdout };
}

function showAnswer(normaliser: Normaliser, status: number, type: string, body: string): string {
  const heading = `\`${status}\``;
  if (body === "") return heading;
  return `${heading}\n\n${type.endsWith("json") ? showJson(normaliser, body) : fence("text", normaliser.text(body))}`;
}

function showJson(normaliser: Normaliser, body: string): string {
  return fence("json", prettyJson(normaliser.json(JSON.parse(body))));
}

/** Lets receivers answer only when the result is called. */
function holdReceiver({ sink }: Scene): () => void {
  const { handler } = sink;
  const held: Parameters<Handler>[] = [];
  sink.handler = (...request) => void held.push(request);
  return () => {
    sink.handler = handler;
    for (const request of held) handler(...request);
  };
}

async function waitUntil({ env }: Scene, reached: (stats: Stats) => boolean): Promise<void> {
  const headers = { authorization: env["AUTH"]?.slice(15) ?? "" };
  for (const deadline = performance.now() + PATIENCE_MS; performance.now() < deadline; await delay(POLL_MS)) {
    const response = await fetch(`${env["API"]}/stats`, { headers });
    if (reached((await response.json()) as Stats)) return;
  }
  throw new Error("the service does not come so far");
}

function valueAt(value: unknown, at: string): unknown {
  return at.split(".").reduce((inner, key) => (inner as Record<string, unknown>)[key], value);
}

const text = await withScene(tell);
if (process.argv[2] === "--check") {
  const difference = firstDifference(await readFile(LOCATION, "utf8"), text);
  if (difference === undefined) console.log(`${FILE} agrees with the answers.`);
  else {
    console.error(
      `${FILE} does not agree with the answers; npm run api-docs writes it again.\n${difference}`,
    );
    process.exitCode = 1;
  }
} else {
  await writeFile(LOCATION, text);
  console.log(`Wrote ${FILE}`);
}
