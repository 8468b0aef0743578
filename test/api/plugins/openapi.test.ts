/** The OpenAPI document: valid, whole, and with examples that the API's own schemas accept. */
import supertest from "supertest";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { describedRoutes, documentText, firstDifference } from "../../../scripts/docs/openapi.ts";
import { buildApp } from "../../../src/api/app.ts";

interface Schema {
  $ref?: string;
  example?: unknown;
}

type Content = Record<string, { schema: Schema }>;

interface Operation {
  operationId: string;
  summary: string;
  tags: string[];
  parameters?: { name: string; in: string; required: boolean; schema: Schema }[];
  requestBody?: { required: boolean; content: Content };
  responses: Record<string, { description: string; headers?: object; content?: Content }>;
  security?: { bearer: string[] }[];
}

interface Document {
  openapi: string;
  info: { title: string; version: string };
  components: { schemas: Record<string, Schema>; securitySchemes: object };
  paths: Record<string, Record<string, Operation>>;
  security: unknown[];
}

const METHODS = ["get", "post", "put", "patch", "delete"];
const SCOPE = /^(read|trigger|admin)$/;
const PUBLIC = ["/healthz", "/readyz", "/version"];

const text = await documentText();
const document = JSON.parse(text) as Document;
const operations = Object.entries(document.paths).flatMap(([path, item]) =>
  Object.entries(item).map(([method, operation]) => ({ path, method, ...operation })),
);
const call = "$method $path";

describe("the document", () => {
  it("is OpenAPI 3.1, protected by a bearer token", () => {
    expect(document).toMatchObject({
      openapi: expect.stringMatching(/^3\.1\.\d+$/),
      info: { title: "Carillon", version: expect.any(String) },
      components: {
        securitySchemes: { bearer: { type: "http", scheme: "bearer", description: expect.any(String) } },
      },
      security: [{ bearer: [] }],
    });
    expect(Object.keys(document.paths)).toContain("/api/v1/jobs/{name}/trigger");
  });

  it("is shown by a page that leaves no token in the browser's storage", async () => {
    const app = await buildApp({ token: "unused", routes: describedRoutes });
    const page = await supertest(app.server)
      .get("/docs/static/swagger-initializer.js")
      .set("authorization", "Bearer unused");
    await app.close();
    expect(page.text).toContain("SwaggerUIBundle");
    expect(page.text).not.toContain("persistAuthorization");
  });

  it("refers to every schema that it has, and to no other", () => {
    const used = [...text.matchAll(/"\$ref": "#\/components\/schemas\/([^"]+)"/g)].map(([, name]) => name);
    expect([...new Set(used)].toSorted()).toEqual(Object.keys(document.components.schemas).toSorted());
    expect(used).toHaveLength(text.match(/"\$ref"/g)?.length ?? 0);
  });

  it("names each operation once", () => {
    const ids = operations.map(({ operationId }) => operationId);
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids).toEqual(expect.arrayContaining(["getJob", "postJobTrigger", "getRunLog"]));
  });

  it.each(operations)(`describes ${call}`, ({ method, summary, tags, operationId, responses }) => {
    expect(METHODS).toContain(method);
    expect(operationId).toMatch(/^[a-z]+[A-Z][A-Za-z]+$/);
    expect(summary).not.toBe("");
    expect(tags).toHaveLength(1);
    for (const [status, { description }] of Object.entries(responses)) {
      // Nothing that a client sends may cause any other 5xx.
      expect(status).toMatch(/^([1-4]\d\d|503)$/);
      expect(description).not.toMatch(/^(Default Response)?$/);
    }
  });

  it.each(operations)(`declares the parameters of ${call}`, ({ path, parameters = [] }) => {
    const inPath = parameters.filter((parameter) => parameter.in === "path");
    const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
    expect(inPath.map(({ name }) => name)).toEqual(names);
    expect(inPath.every(({ required }) => required)).toBe(true);
    expect(parameters.every(({ schema }) => typeof schema === "object")).toBe(true);
  });

  it.each(operations)(`says who may call ${call}, and how it refuses`, ({ path, security, responses }) => {
    const isPublic = PUBLIC.includes(path);
    const needs = security?.map(({ bearer }) => bearer.join());
    expect(needs).toEqual(isPublic ? [] : expect.arrayContaining([expect.stringMatching(SCOPE)]));
    const problem = { "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } } };
    for (const status of [...(isPublic ? [] : ["401", "429"]), "403", "503"])
      expect(responses[status]?.content).toMatchObject(problem);
  });

  it("lists the response headers that callers need", () => {
    const named = (id: string, status: number) =>
      Object.keys(operations.find(({ operationId }) => operationId === id)?.responses[status]?.headers ?? {});
    const run = ["X-Run-Id", "X-Run-State", "X-Exit-Code"];
    expect(named("getRun", 200)).toEqual(run);
    expect(named("getRun", 424)).toEqual(run);
    expect(named("postRunRerun", 202)).toEqual([...run, "Location"]);
    for (const status of [200, 202])
      expect(named("postJobTrigger", status)).toEqual([...run, "Location", "Idempotency-Replayed"]);
    expect(named("postJobTrigger", 429)).toEqual(["Retry-After"]);
    expect(named("getStats", 503)).toEqual(["Retry-After"]);
    expect(named("putJob", 201)).toEqual(["Location"]);
    expect(named("getRuns", 200)).toEqual(["Link"]);
    expect(named("getJob", 200)).toEqual([]);
  });

  it("accepts JSON and YAML, and says which body is optional", () => {
    const bodies = operations.flatMap(({ operationId, requestBody }) =>
      requestBody === undefined ? [] : [{ operationId, ...requestBody }],
    );
    for (const { content } of bodies)
      expect(Object.keys(content)).toEqual(["application/json", "application/yaml"]);
    const optional = bodies.filter(({ required }) => !required).map(({ operationId }) => operationId);
    expect(optional).toEqual(["postJobPause", "postJobTrigger"]);
  });
});

describe("the examples", () => {
  const resolve = ({ $ref, ...schema }: Schema): Schema =>
    $ref === undefined ? schema : (document.components.schemas[$ref.split("/").at(-1) ?? ""] ?? {});

  it.each(operations)(`are there for every body of ${call}`, ({ requestBody, responses }) => {
    const contents = [requestBody?.content, ...Object.values(responses).map(({ content }) => content)];
    const bodies = contents.flatMap((content) => Object.values(content ?? {}));
    expect(bodies.filter(({ schema }) => resolve(schema).example === undefined)).toEqual([]);
  });

  it("are accepted by the schemas of the routes, and have no unknown field", async () => {
    let checked = 0;
    const accepts = (schema: unknown, strict: boolean) => {
      if (!(schema instanceof z.ZodType) || schema instanceof z.ZodNull) return;
      const example = schema.meta()?.["example"];
      const result = schema.safeParse(example);
      expect(result.error).toBeUndefined();
      if (strict) expect(result.data).toEqual(example);
      checked += 1;
    };
    const app = await buildApp({
      token: "unused",
      routes: async (scope) => {
        scope.addHook("onRoute", ({ schema }) => {
          accepts(schema?.body, false);
          for (const answer of Object.values(schema?.response ?? {})) {
            const contents = Object.values<{ schema: unknown }>(
              answer.content ?? { only: { schema: answer } },
            );
            for (const content of contents) accepts(content.schema, true);
          }
        });
        await scope.register(describedRoutes);
      },
    });
    await app.close();
    expect(checked).toBeGreaterThan(40);
  });
});

describe("the drift check", () => {
  it("shows the first lines that differ", () => {
    expect(firstDifference("a\nb\n", "a\nb\n")).toBeUndefined();
    expect(firstDifference("a\nb\n", "a\nc\n")).toBe("line 2:\n- b\n- \n+ c\n+ ");
    expect(firstDifference("a\nb\n", "a\n")).toBe("line 2:\n- b\n- \n+ ");
    expect(firstDifference("a", "a\nb")).toBe("line 2:\n+ b");
  });
});
