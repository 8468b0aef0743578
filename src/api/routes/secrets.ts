/** The calls on secrets: store one, list their names, delete one, encrypt all of them with a new key. */
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { z } from "zod";
import { deleteSecret, listSecrets, putSecret, rotateSecrets } from "../../access/secrets.ts";
import type { Database } from "../../postgres/client.ts";
import { putSecretSchema, rotationSchema, secretListSchema, secretSchema } from "../schemas/credentials.ts";
import { secretNameSchema } from "../schemas/fields.ts";
import { problems } from "../schemas/problem.ts";
import type { ApiSettings } from "../settings.ts";
import { secretView } from "../views/credentials.ts";

const PATH = "/api/v1/secrets";
const params = z.object({ name: secretNameSchema });
const tags = ["secrets"];

/** All calls on secrets. */
export const secretRoutes =
  (db: Database, keys: Pick<ApiSettings, "secretKeys">): FastifyPluginAsyncZod =>
  async (app) => {
    app.get(
      PATH,
      {
        config: { scope: "read" },
        schema: {
          summary: "List the names of the secrets; their values are never shown",
          tags,
          response: { 200: secretListSchema, ...problems(400) },
        },
      },
      async () => ({ items: (await listSecrets(db)).map(secretView), next_cursor: null }),
    );

    app.put(
      `${PATH}/:name`,
      {
        config: { scope: "admin" },
        schema: {
          summary: "Create or replace a secret; commands that start from now on get the new value",
          tags,
          params,
          body: putSecretSchema,
          response: { 200: secretSchema, 201: secretSchema, ...problems(400, 409, 413, 415, 422) },
        },
      },
      async ({ params: { name }, body, caller }, reply) => {
        const { created, secret } = await putSecret(db, caller, name, body.value, keys);
        return reply.code(created ? 201 : 200).send(secretView(secret));
      },
    );

    app.delete(
      `${PATH}/:name`,
      {
        config: { scope: "admin" },
        schema: {
          summary: "Delete a secret that no job or schedule uses",
          tags,
          params,
          response: { 204: z.null(), ...problems(400, 404, 409, 413, 415) },
        },
      },
      async ({ params: { name }, caller }, reply) => {
        await deleteSecret(db, caller, name);
        return reply.code(204).send(null);
      },
    );

    app.post(
      `${PATH}/rotate`,
      {
        config: { scope: "admin" },
        schema: {
          summary: "Encrypt all values again with the first key of the key file",
          tags,
          response: { 200: rotationSchema, ...problems(400, 409, 413, 415) },
        },
      },
      async ({ caller }) => ({ rotated: await rotateSecrets(db, caller, keys) }),
    );
  };
