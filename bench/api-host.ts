/** A process with a bare Fastify whose only route returns a job through the same zod schema as Carillon's. */
import fastify from "fastify";
import { type FastifyPluginAsyncZod, serializerCompiler, validatorCompiler } from "fastify-type-provider-zod";
import { z } from "zod";
import { jobViewSchema } from "../src/api/schemas/job-answers.ts";
import { answerRequests } from "./measuring-host.ts";

if (process.send !== undefined) await serve(JSON.parse(process.argv[2] ?? ""));

async function serve(job: z.input<typeof jobViewSchema>): Promise<void> {
  const app = fastify().setValidatorCompiler(validatorCompiler).setSerializerCompiler(serializerCompiler);
  const routes: FastifyPluginAsyncZod = async (scope) => {
    const schema = { params: z.object({ name: z.string() }), response: { 200: jobViewSchema } };
    scope.get("/api/v1/jobs/:name", { schema }, async () => job as z.output<typeof jobViewSchema>);
  };
  await app.register(routes);
  const url = await app.listen({ port: 0, host: "127.0.0.1" });
  // The only request asks for the address.
  await answerRequests(
    async () => url,
    () => app.close(),
  );
}
