/** Generates the OpenAPI 3.1 document from the schemas of the routes, and serves it with a page that shows it. */

import { STATUS_CODES } from "node:http";
import swagger from "@fastify/swagger";
import swaggerUi from "@fastify/swagger-ui";
import type { FastifyInstance } from "fastify";
import { createJsonSchemaTransform, createJsonSchemaTransformObject } from "fastify-type-provider-zod";
import { z } from "zod";
import packageJson from "../../../package.json" with { type: "json" };
import { LINK, LOCATION } from "../schemas/answer-headers.ts";

type Transform = ReturnType<typeof createJsonSchemaTransform>;
type TransformObject = ReturnType<typeof createJsonSchemaTransformObject>;
type Options = Parameters<typeof createJsonSchemaTransform>[0];
type Operations = Record<string, { requestBody?: { required: boolean }; [OPTIONAL_BODY]?: true }>;

const BEARER = {
  type: "http",
  scheme: "bearer",
  description:
    "A token with one of the scopes that the call requires (`read`, `trigger`). The scope `admin` permits every call",
} as const;
const BODY_TYPES = ["application/json", "application/yaml"];
// Passed from describeRoute to describeDocument, because @fastify/swagger marks every body as required.
const OPTIONAL_BODY = "x-optional-body";

// Removes what zod adds although `format` and `integer` already say it.
const options: Options = {
  zodToJsonConfig: {
    override: ({ zodSchema, jsonSchema }) => {
      const { def } = zodSchema._zod;
      // zod leaves out the default of a value that parsing transforms, such as the text of a number.
      if (def.type === "default") jsonSchema.default = def.defaultValue;
      if (jsonSchema.format !== undefined) delete jsonSchema.pattern;
      if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum;
      if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
    },
  },
};
const routeToJson = createJsonSchemaTransform(options);
const documentToJson = createJsonSchemaTransformObject(options);

/** Registers `GET /openapi.json` and `/docs`. Call it before the routes that they describe are registered. */
export async function describeApi(app: FastifyInstance): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: "3.1.0",
      info: { title: "Carillon", description: packageJson.description, version: packageJson.version },
      components: { securitySchemes: { bearer: BEARER } },
      security: [{ bearer: [] }],
    },
    transform: describeRoute,
    transformObject: describeDocument,
  });
  // A separate Fastify scope, so that the hook marks only the routes of the documentation.
  await app.register(async (scope) => {
    scope.addHook("onRoute", (route) => {
      route.config = { ...route.config, documentation: true, scope: ["read", "trigger"] };
    });
    scope.get("/openapi.json", { schema: { hide: true } }, () => app.swagger());
    await scope.register(swaggerUi, { routePrefix: "/docs" });
  });
}

const describeRoute: Transform = (document) => {
  const { schema, url } = routeToJson(document);
  const { method, config } = document.route;
  const { body } = document.schema ?? {};
  const described = {
    ...schema,
    operationId: operationId(String(method), url),
    consumes: BODY_TYPES,
    ...(schema?.response !== undefined && {
      response: describeAnswers(schema.response, document.schema?.response),
    }),
    security: [config?.scope ?? []].flat().map((scope) => ({ bearer: [scope] })),
    ...(body instanceof z.ZodType && body.safeParse(undefined).success && { [OPTIONAL_BODY]: true }),
  };
  return { schema: described, url };
};

/** `GET /api/v1/jobs/:name` is `getJob`, and `POST /api/v1/jobs/:name/trigger` is `postJobTrigger`. */
function operationId(method: string, url: string): string {
  const path = url
    .replace("/api/v1", "")
    .replace(/^\/$/, "/root")
    .replaceAll(/ies\/:\w+/g, "y")
    .replaceAll(/s\/:\w+/g, "");
  const words = path.split(/\W+/).map((word) => word.charAt(0).toUpperCase() + word.slice(1));
  return method.toLowerCase() + words.join("");
}

/** @param given the responses as the route declares them, because the provider leaves their headers out */
function describeAnswers(response: unknown, given: unknown): Record<string, object> {
  const answers = Object.entries(response as Record<string, object>);
  return Object.fromEntries(
    answers.map(([status, answer]) => {
      const headers = answerHeaders(status, (given as Record<string, object>)[status]);
      return [status, { description: STATUS_CODES[status], ...(headers && { headers }), ...answer }];
    }),
  );
}

function answerHeaders(status: string, given: object = {}): object | undefined {
  if (given instanceof z.ZodObject && "next_cursor" in given.shape) return LINK;
  const own = "headers" in given ? Object(given.headers) : undefined;
  return own ?? { 201: LOCATION, 202: LOCATION }[status];
}

const describeDocument: TransformObject = (document) => {
  const described = documentToJson(document);
  if (!("components" in described)) return described;
  const { paths = {}, components } = described;
  for (const operation of Object.values(paths).flatMap((path) => Object.values(path as Operations))) {
    if (operation.requestBody && operation[OPTIONAL_BODY]) operation.requestBody.required = false;
    delete operation[OPTIONAL_BODY];
  }
  const schemas = usedSchemas(paths, components?.schemas ?? {});
  return { ...described, components: { ...components, schemas } } as typeof described;
};

// The provider writes each named schema twice, as input and as output; most are used in one way only.
function usedSchemas(paths: unknown, schemas: Record<string, unknown>): Record<string, unknown> {
  const used = new Set<string>();
  const follow = (part: unknown): void => {
    const text = JSON.stringify(part);
    for (const [name, schema] of Object.entries(schemas)) {
      if (used.has(name) || !text.includes(`"#/components/schemas/${name}"`)) continue;
      used.add(name);
      follow(schema);
    }
  };
  follow(paths);
  // Sorted by name; otherwise the order of imports decides, and moving a file changes the document.
  const kept = Object.entries(schemas).filter(([name]) => used.has(name));
  return Object.fromEntries(kept.toSorted(([one], [other]) => (one < other ? -1 : 1)));
}
