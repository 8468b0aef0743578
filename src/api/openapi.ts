/** The API's description of itself: OpenAPI 3.1 made from the routes' schemas, and a page that shows it. */
import swagger from "@fastify/swagger";
import swaggerUi from "@fastify/swagger-ui";
import type { FastifyInstance } from "fastify";
import { jsonSchemaTransform, jsonSchemaTransformObject } from "fastify-type-provider-zod";
import packageJson from "../../package.json" with { type: "json" };

type Transform = typeof jsonSchemaTransform;
type TransformObject = typeof jsonSchemaTransformObject;

/** Registers `GET /openapi.json` and `/docs`; to be called before the routes that they describe. */
export async function describeApi(app: FastifyInstance): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: "3.1.0",
      info: { title: "Carillon", description: packageJson.description, version: packageJson.version },
      components: { securitySchemes: { bearer: { type: "http", scheme: "bearer" } } },
      security: [{ bearer: [] }],
    },
    transform: describeRoute,
    transformObject: describeComponents,
  });
  // A scope of its own, so that only the routes of the documentation are marked as such.
  await app.register(async (scope) => {
    scope.addHook("onRoute", (route) => {
      route.config = { ...route.config, documentation: true };
    });
    scope.get("/openapi.json", { schema: { hide: true } }, () => app.swagger());
    await scope.register(swaggerUi, { routePrefix: "/docs", uiConfig: { persistAuthorization: true } });
  });
}

const describeRoute: Transform = (document) => {
  const { schema, url } = jsonSchemaTransform(document);
  return document.route.config?.public === true
    ? { schema: { ...schema, security: [] }, url }
    : { schema, url };
};

// The provider writes each named schema twice, as input and as output; most have only one use.
const describeComponents: TransformObject = (document) => {
  const described = jsonSchemaTransformObject(document);
  if (!("components" in described)) return described;
  const { paths, components } = described;
  const all = Object.entries(components?.schemas ?? {});
  const used = new Set<string>();
  const follow = (part: unknown): void => {
    const text = JSON.stringify(part);
    for (const [name, schema] of all) {
      if (used.has(name) || !text.includes(`"#/components/schemas/${name}"`)) continue;
      used.add(name);
      follow(schema);
    }
  };
  follow(paths);
  const schemas = Object.fromEntries(all.filter(([name]) => used.has(name)));
  return { ...described, components: { ...components, schemas } } as typeof described;
};
