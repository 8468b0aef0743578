/** The calls on secrets: put one, list their names, delete one, encrypt them anew. */
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

export const secretRoutes =
  (db: Database, keys: Pick<ApiSettings, "secretKeys">): FastifyPluginAsyncZod =>
  async (app) => {
    app.get(
      PATH,
      {
        config: { scope: "read" },
        schema: {
          summary: "List the secrets: their names, never their values",
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
          summary: "Store a secret, in place of its value before; commands that start from now on get it",
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
          summary: "Delete a secret that no job and no schedule names",
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
          summary: "Encrypt all values anew with the first key of the key file",
          tags,
          response: { 200: rotationSchema, ...problems(400, 409, 413, 415) },
        },
      },
      async ({ caller }) => ({ rotated: await rotateSecrets(db, caller, keys) }),
    );
  };
