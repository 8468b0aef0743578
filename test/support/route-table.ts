/** Every route of the API with what it declares about who may call it. */
import { describedRoutes } from "../../scripts/docs/openapi.ts";
import { buildApp } from "../../src/api/app.ts";

export interface Route {
  method: string;
  /** With names after colons, such as `/api/v1/jobs/:name`. */
  url: string;
  /** `public`, or the scopes of which callers need one. */
  access: string;
}

/** The routes, but for HEAD, which goes with GET, and the pages of the documentation. */
export async function routeTable(): Promise<Route[]> {
  const routes: Route[] = [];
  const app = await buildApp({
    token: "unused",
    routes: async (scope) => {
      scope.addHook("onRoute", ({ method, url, config }) => {
        if (method === "HEAD") return;
        const access = config?.public ? "public" : [config?.scope ?? "none"].flat().join(" or ");
        routes.push({ method: String(method), url, access });
      });
      await scope.register(describedRoutes);
    },
  });
  await app.close();
  return routes;
}
