/** The calls on tokens: create one, list them, read one, revoke one. */
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { z } from "zod";
import { createToken, deleteToken, readToken, readTokens } from "../../access/tokens.ts";
import type { Database } from "../../postgres/client.ts";
import { madeTokenSchema, newTokenSchema, tokenListSchema, tokenSchema } from "../schemas/credentials.ts";
import { nameSchema, pageQuerySchema } from "../schemas/fields.ts";
import { problems } from "../schemas/problem.ts";
import type { ApiSettings } from "../settings.ts";
import { tokenRequest, tokenView } from "../views/credentials.ts";
import { answerPage, readCursor } from "../views/paging.ts";

const PATH = "/api/v1/tokens";
const params = z.object({ name: nameSchema });
const tags = ["tokens"];
const config = { scope: "admin" } as const;

/** All calls on tokens. */
export const tokenRoutes =
  (db: Database, settings: Pick<ApiSettings, "authenticator">): FastifyPluginAsyncZod =>
  async (app) => {
    app.post(
      PATH,
      {
        config,
        schema: {
          summary: "Create a token; only this response contains it",
          tags,
          body: newTokenSchema,
          response: { 201: madeTokenSchema, ...problems(400, 409, 413, 415, 422) },
        },
      },
      async ({ body, caller }, reply) => {
        const { token, row } = await createToken(db, caller, tokenRequest(body));
        reply.code(201).header("location", `${PATH}/${encodeURIComponent(row.name)}`);
        return { ...tokenView(row), token };
      },
    );

    app.get(
      PATH,
      {
        config,
        schema: {
          summary: "List the tokens by name, expired ones included",
          tags,
          querystring: pageQuerySchema,
          response: { 200: tokenListSchema, ...problems(400) },
        },
      },
      async (request, reply) => {
        const { limit, cursor } = request.query;
        const rows = await readTokens(db, { after: readCursor(cursor, nameSchema), limit: limit + 1 });
        return answerPage(request, reply, rows, { limit, key: ({ name }) => name, view: tokenView });
      },
    );

    app.get(
      `${PATH}/:name`,
      {
        config,
        schema: {
          summary: "Read the scopes, the expiry and the last use of a token",
          tags,
          params,
          response: { 200: tokenSchema, ...problems(400, 404) },
        },
      },
      async ({ params: { name } }) => tokenView(await readToken(db, name)),
    );

    app.delete(
      `${PATH}/:name`,
      {
        config,
        schema: {
          summary: "Revoke a token; it stops working at once on this node, and within a second on others",
          tags,
          params,
          response: { 204: z.null(), ...problems(400, 404, 413, 415) },
        },
      },
      async ({ params: { name }, caller }, reply) => {
        await deleteToken(db, caller, name, settings);
        return reply.code(204).send(null);
      },
    );
  };
