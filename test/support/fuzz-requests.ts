/** Requests for fast-check, made of what the OpenAPI document says of an operation, and their way to the service. */
import { type Agent, request } from "node:http";
import { buffer } from "node:stream/consumers";
import fc from "fast-check";
import { naughtyText, naughtyValue, spoiled } from "./fuzz-naughty.ts";
import { valueFor } from "./fuzz-values.ts";
import type { Answer, Operation } from "./openapi-document.ts";

/** A request as it goes over the wire, but for `$run` and `$delivery` in its path. */
export interface FuzzRequest {
  method: string;
  url: string;
  headers: Record<string, string>;
  /** Each character a byte; undefined: none. */
  body: string | undefined;
}

type Parameter = Operation["parameters"][number];

const NOBODY = "01890000-0000-7000-8000-000000000000";
const WAITS = fc.constantFrom("0s", "1ms", "20ms", "-1s", "56s", "soon");
const TYPES = [
  "text/plain",
  "application/json\t",
  "APPLICATION/JSON",
  "application/x-www-form-urlencoded",
  "*/*",
  ",",
];
const ACCEPTS = [
  "*/*",
  "application/json",
  "text/plain",
  "text/vnd.mermaid",
  "text/plain;q=0.1,*/*",
  "image/png",
  ";;,q=x",
];
const ODD_PATHS = [
  "..",
  ".",
  "%2e%2e",
  "%2f",
  "%00",
  "%ff",
  "%",
  "%zz",
  "%ed%a0%80",
  "a%2fb",
  ":name",
  "*",
  "x".repeat(3_000),
];
const ODD_BODIES = [
  ...[
    "{",
    "}",
    "[]",
    "null",
    "0",
    '""',
    " ",
    "\ufeff{}",
    '{"a":1,"a":2}',
    '{"a":-0,"b":1e400}',
    "NaN",
    "{}{}",
  ],
  ...["[".repeat(100_000), '{"a":'.repeat(40_000), "a: &a [*a]", "- ".repeat(1_000), "\xff\xfe", '"\\ud800"'],
];

/** A request for an operation: mostly a right one. */
export function requestOf(operation: Operation): fc.Arbitrary<FuzzRequest> {
  const within = (place: Parameter["in"]) =>
    operation.parameters.filter((parameter) => parameter.in === place);
  return fc
    .record({
      path: fc.tuple(
        ...within("path").map((parameter) => fc.tuple(fc.constant(parameter.name), pathValue(parameter))),
      ),
      query: fc.tuple(...within("query").map(queryPart), strayQuery),
      headers: fc.tuple(...within("header").map(headerOf)),
      accept: fc.option(fc.constantFrom(...ACCEPTS)),
      body: bodyOf(operation),
    })
    .map(({ path, query, headers, accept, body }) => {
      const parts = query.filter((part) => part !== "");
      return {
        method: operation.method,
        url: fillIn(operation.path, path) + (parts.length > 0 ? `?${parts.join("&")}` : ""),
        headers: {
          ...Object.fromEntries(headers.flat()),
          ...(accept !== null && { accept }),
          ...(body !== undefined && { "content-type": body.type }),
        },
        body: body?.text,
      };
    });
}

function fillIn(path: string, values: readonly (readonly [string, string])[]): string {
  return values.reduce((filled, [name, value]) => filled.replace(`{${name}}`, () => value), path);
}

function pathValue({ name, schema }: Parameter): fc.Arbitrary<string> {
  const right = name === "id" ? fc.constantFrom("$run", "$delivery", NOBODY) : valueFor(schema).map(percent);
  const odd = fc.oneof(fc.constantFrom(...ODD_PATHS), naughtyText.map(percent));
  // Without a value it would be another path.
  return fc
    .oneof({ weight: 9, arbitrary: right }, { weight: 1, arbitrary: odd })
    .map((value) => value || "%20");
}

/** What a value is in a URL; half a surrogate pair is the bytes that some clients make of it. */
function percent(value: unknown): string {
  const text = typeof value === "string" ? value : (JSON.stringify(value) ?? "");
  return text
    .slice(0, 2_000)
    .replaceAll(/[\s\S]/gu, (one) =>
      one.isWellFormed()
        ? encodeURIComponent(one)
        : `%ed%${(0xa0 + (one.charCodeAt(0) & 0x1f)).toString(16)}%80`,
    );
}

function queryPart({ name, schema }: Parameter): fc.Arbitrary<string> {
  const right = name === "wait" ? WAITS : valueFor(schema);
  const value = fc.oneof({ weight: 5, arbitrary: right }, { weight: 1, arbitrary: naughtyValue });
  const written = value.map((given) =>
    [given]
      .flat()
      .map((one) => `${name}=${percent(one)}`)
      .join("&"),
  );
  return fc.oneof({ weight: 3, arbitrary: fc.constant("") }, { weight: 1, arbitrary: written });
}

const strayQuery = fc.oneof(
  { weight: 15, arbitrary: fc.constant("") },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      "limit",
      "=",
      "&&",
      "a[b]=c",
      "%",
      "%00=%ff",
      "__proto__=1",
      "?",
      "#",
      `x=${"y".repeat(8_000)}`,
    ),
  },
);

function headerOf({ name, schema }: Parameter): fc.Arbitrary<[string, string][]> {
  const value = fc.oneof(valueFor(schema), naughtyValue);
  // Node's client sends nothing else.
  const sendable = value.map((given) =>
    String(JSON.stringify(given) ?? "")
      .replaceAll(/[^\t\x20-\x7e\x80-\xff]/g, "")
      .slice(0, 500),
  );
  return fc.option(sendable).map((given) => (given === null ? [] : [[name, given]]));
}

interface Body {
  type: string;
  text: string;
}

function bodyOf({ method, takes }: Operation): fc.Arbitrary<Body | undefined> {
  if (method === "GET") return fc.constant(undefined);
  const types = Object.keys(takes);
  const [schema] = Object.values(takes).map((content) => content.schema);
  const json = (value: unknown) => Buffer.from(JSON.stringify(value) ?? "").toString("latin1");
  const type = fc.oneof(
    { weight: 12, arbitrary: fc.constantFrom(...types, "application/json") },
    { weight: 1, arbitrary: fc.constantFrom(...TYPES) },
  );
  const garbage = fc.oneof(
    fc.constantFrom(...ODD_BODIES),
    naughtyValue.map(json),
    fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes).toString("latin1")),
  );
  const right = schema === undefined ? fc.constant({}) : valueFor(schema);
  const text = fc.oneof(
    { weight: 6, arbitrary: right.map(json) },
    { weight: 5, arbitrary: spoiled(right).map(json) },
    { weight: 1, arbitrary: garbage },
  );
  return fc.oneof(
    { weight: 11, arbitrary: fc.record({ type, text }) },
    { weight: 1, arbitrary: fc.constant(undefined) },
  );
}

/** Sends it and reads the answer; rejects when there is none within `timeoutMs`. */
export async function send(
  base: string,
  { method, url, headers, body }: FuzzRequest,
  { agent, timeoutMs }: { agent: Agent; timeoutMs: number },
): Promise<Answer> {
  const bytes = Buffer.from(body ?? "", "latin1");
  const { hostname, port } = new URL(base);
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const signal = AbortSignal.timeout(timeoutMs);
  const length = body === undefined ? {} : { "content-length": bytes.length };
  // As a path, so that nothing is made straight on the way.
  const call = request({
    hostname,
    port,
    method,
    path: url,
    headers: { ...headers, ...length },
    agent,
    signal,
  });
  call.on("error", reject);
  call.on("response", (response) => {
    const { statusCode: status = 0, headers } = response;
    buffer(response).then(
      (read) => resolve({ status, type: headers["content-type"], text: read.toString() }),
      reject,
    );
  });
  call.end(bytes);
  return promise;
}
