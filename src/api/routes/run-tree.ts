/** The call that shows the chain of a run: as JSON, drawn, or as a Mermaid flowchart. */
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { z } from "zod";
import type { Database } from "../../postgres/client.ts";
import { readTree } from "../../runs/tree.ts";
import { problems } from "../schemas/problem.ts";
import { drawnTreeSchema, mermaidTreeSchema, runTreeSchema } from "../schemas/run.ts";
import { preferred } from "../views/accept.ts";
import { drawTree, mermaidTree, treeView } from "../views/run-tree.ts";

const MERMAID = "text/vnd.mermaid";

export const runTreeRoutes =
  (db: Database): FastifyPluginAsyncZod =>
  async (app) => {
    app.get(
      "/api/v1/runs/:id/tree",
      {
        config: { scope: "read" },
        schema: {
          summary: "Show the chain of a run, from the run that began it down",
          tags: ["runs"],
          params: z.object({ id: z.uuid() }),
          response: {
            200: {
              description: "The chain, at most 1,000 runs of it",
              content: {
                "application/json": { schema: runTreeSchema },
                "text/plain": { schema: drawnTreeSchema },
                [MERMAID]: { schema: mermaidTreeSchema },
              },
            },
            ...problems(400, 404),
          },
        },
      },
      async ({ params: { id }, headers }, reply) => {
        const { runs, truncated } = await readTree(db, id);
        const tree = treeView(runs, id, truncated);
        reply.header("vary", "accept");
        const type = preferred(headers.accept, ["application/json", "text/plain", MERMAID]);
        switch (type) {
          case "application/json":
            return reply.type(type).send(tree);
          case "text/plain":
            return reply.type(`${type}; charset=utf-8`).send(drawTree(tree));
          case MERMAID:
            return reply.type(`${type}; charset=utf-8`).send(mermaidTree(tree));
        }
      },
    );
  };
