/** Every answer that the OpenAPI document promises is given, and is as the document says. */
import supertest from "supertest";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { describedRoutes } from "../../scripts/docs/openapi.ts";
import { buildApp } from "../../src/api/app.ts";
import { CASES, type Case, prepareRuns } from "../support/contract-cases.ts";
import {
  answerFault,
  bodyFault,
  mediaTypeOf,
  type Operation,
  operationOf,
  operations,
} from "../support/openapi-document.ts";
import { startTestService, type TestService } from "../support/test-service.ts";

const PROBLEM = "application/problem+json";
const TOO_LARGE = 3 * 1024 * 1024;

let service: TestService;
let ids: Record<string, string>;
beforeAll(async () => {
  service = await startTestService();
  ids = await prepareRuns(service);
}, 60_000);
afterAll(() => service?.[Symbol.asyncDispose]());

type Method = "get" | "post" | "put" | "patch" | "delete";
type Call = supertest.Test;

function call(url: string, token: string, method: string, path: string): Call {
  const request = supertest(url)
    [method.toLowerCase() as Method](path)
    .set("authorization", `Bearer ${token}`);
  // superagent would encode a string by its own idea of the type.
  return request.serialize((body) => (typeof body === "string" ? body : JSON.stringify(body)));
}

/** Expects an answer that the document promises for this status. */
async function expectAnswer(
  operation: Operation,
  request: Call,
  status: number,
  accept?: string,
): Promise<void> {
  const { status: given, headers, text = "" } = await request;
  const type = headers["content-type"];
  expect(answerFault(operation, { status: given, type, text })).toBeUndefined();
  expect({ given, text }).toEqual({ given: status, text });
  if (status !== 204)
    expect(mediaTypeOf(type)).toBe(status >= 400 ? PROBLEM : (accept ?? firstType(operation, status)));
}

function firstType({ answers }: Operation, status: number): string {
  return Object.keys(answers[status] ?? {})[0] ?? "";
}

const parts = (line: string) => line.split(" ") as [method: string, path: string];
const sent = ([line, , details = {}]: Case): Call => {
  const [method, path] = parts(line.replaceAll(/\$(\w+)/g, (_, name: string) => ids[name] ?? name));
  const request = call(service.url, service.token, method, path).set(details.headers ?? {});
  if (details.accept !== undefined) request.set("accept", details.accept);
  if (details.body === undefined) return request;
  return request.set("content-type", details.type ?? "application/json").send(JSON.stringify(details.body));
};

/** A path of the operation that is well formed; what it names need not be there. */
const somePath = ({ path }: Operation) =>
  path.replaceAll(
    /\{(\w+)\}/g,
    (_, name: string) => ({ name: "ghost", number: "1" })[name] ?? crypto.randomUUID(),
  );

interface SharedAnswer {
  status: number;
  /** Which operations share it. */
  of: (operation: Operation) => boolean;
  provoke: (request: Call) => Call;
}

const takesBody = ({ method }: Operation) => method !== "GET";
const SHARED: readonly SharedAnswer[] = [
  { status: 400, of: takesBody, provoke: (request) => request.type("json").send("{") },
  {
    status: 401,
    of: ({ open }) => !open,
    provoke: (request) => request.set("authorization", "Bearer wrong"),
  },
  { status: 403, of: () => true, provoke: (request) => request.set("host", "evil.example") },
  {
    status: 413,
    of: takesBody,
    provoke: (request) => request.type("json").set("content-length", String(TOO_LARGE)),
  },
  { status: 415, of: takesBody, provoke: (request) => request.type("text/plain").send("x") },
];
const shared = SHARED.flatMap(({ of, ...answer }) =>
  operations.filter(of).map((operation) => ({ ...answer, operation, id: operation.id })),
);

/** All calls but the probe of life. */
const LIMITED = operations.filter(({ id }) => id !== "getHealthz");

it("has a case for every answer and every kind of body that the document has", () => {
  const described = operations.flatMap(({ id, takes, answers }) => [
    ...Object.keys(takes).map((type) => `${id} takes ${type}`),
    ...Object.entries(answers).flatMap(([status, content]) =>
      [...Object.keys(content), ...(status === "204" ? [""] : [])].map((type) => `${id} ${status} ${type}`),
    ),
  ]);
  const cased = CASES.flatMap(([line, status, { body, type = "application/json", accept } = {}]) => {
    const operation = operationOf(...parts(line));
    const answer = status >= 400 ? PROBLEM : (accept ?? firstType(operation, status));
    const takes = body !== undefined && status < 400 ? [`${operation.id} takes ${type}`] : [];
    return [...takes, `${operation.id} ${status} ${answer}`];
  });
  const looped = shared.map(({ id, status }) => `${id} ${status} ${PROBLEM}`);
  const stopping = operations.map(({ id }) => `${id} 503 ${PROBLEM}`);
  const limited = LIMITED.map(({ id }) => `${id} 429 ${PROBLEM}`);
  const covered = new Set([...cased, ...looped, ...stopping, ...limited, "getReadyz 503 application/json"]);
  expect(described.filter((answer) => !covered.has(answer))).toEqual([]);
});

describe("a case", () => {
  it.each(CASES.map((one) => ({ name: `${one[0]} ${one[1]}`, one })))("$name", async ({ one }) => {
    const [line, status, { body, type = "application/json", accept } = {}] = one;
    const operation = operationOf(...parts(line));
    if (body !== undefined && status < 400) expect(bodyFault(operation, type, body)).toBeUndefined();
    await expectAnswer(operation, sent(one), status, accept);
  });
});

describe("an answer that all calls share", () => {
  it.each(shared)("$status $id", async ({ status, operation, provoke }) => {
    const request = call(service.url, service.token, operation.method, somePath(operation));
    await expectAnswer(operation, provoke(request), status);
  });
});

it("answers 429 to every call above the limit, except for the liveness probe", async () => {
  const token = "the-right-token";
  const app = await buildApp({ token, routes: describedRoutes, limits: { callsPerSecond: 0.1 } });
  const url = await app.listen({ port: 0, host: "127.0.0.1" });
  try {
    await call(url, token, "GET", "/version").expect(200);
    await call(url, token, "GET", "/docs/json").expect(200);
    for (const operation of LIMITED)
      await expectAnswer(operation, call(url, token, operation.method, somePath(operation)), 429);
    await call(url, token, "GET", "/healthz").expect(200);
  } finally {
    await app.close();
  }
});

describe("503", () => {
  it("is answered to every call while the service stops", async () => {
    const token = "the-right-token";
    let answered = 0;
    const app = await buildApp({
      token,
      routes: async (scope) => {
        await scope.register(describedRoutes);
        scope.addHook("preClose", async () => {
          for (const operation of operations) {
            const request = supertest(scope.server)[operation.method.toLowerCase() as Method](
              somePath(operation),
            );
            await expectAnswer(operation, request.set("authorization", `Bearer ${token}`), 503);
            answered += 1;
          }
        });
      },
    });
    await app.listen({ port: 0, host: "127.0.0.1" });
    await app.close();
    expect(answered).toBe(operations.length);
  });

  it("is answered to every call that needs the database while the database is gone", async () => {
    await using alone = await startTestService({ ROLES: "api" });
    await alone.database.drop();
    const needless = ["getHealthz", "getVersion"];
    const asked = new Set<string>();
    for (const [line, status, { body } = {}] of CASES) {
      const [method, path] = parts(line.replaceAll(/\$\w+/g, () => crypto.randomUUID()));
      const operation = operationOf(method, path);
      if (status >= 300 || asked.has(operation.id) || needless.includes(operation.id)) continue;
      asked.add(operation.id);
      const answer = await call(alone.url, alone.token, method, path).send(body as object);
      const { status: given, text, headers } = answer;
      const fault = answerFault(operation, { status: given, type: headers["content-type"], text });
      expect({ id: operation.id, given, fault }).toEqual({ id: operation.id, given: 503, fault: undefined });
      if (operation.id !== "getReadyz") expect(headers["retry-after"]).toBe("5");
    }
    expect([...asked, ...needless].toSorted()).toEqual(operations.map(({ id }) => id).toSorted());
  });
});
