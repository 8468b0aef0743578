/** A chain of runs as the API answers it. */
import { z } from "zod";
import { EVENTS } from "../../jobs/rules/definition.ts";
import { RUN_STATES } from "../../runs/rules/states.ts";
import type { ChainRun } from "../../runs/tree.ts";
import { RUN_TREE, RUN_TREE_DRAWN, RUN_TREE_MERMAID } from "./examples.ts";

const fields = {
  id: z.uuid(),
  name: z.string(),
  state: z.enum(RUN_STATES),
  status: z.int().nullable(),
  event: z.enum(EVENTS).nullable().describe("The event of the run above that triggered it"),
  triggered_at: z.iso.datetime(),
  duration_ms: z.int().nullable(),
  self: z.boolean().describe("Whether it is the run that was asked for"),
};

/** A run of a chain with the runs that it triggered. */
export interface TreeNode extends z.output<z.ZodObject<typeof fields>> {
  children: TreeNode[];
}

const nodeSchema = z
  .object({
    ...fields,
    get children(): z.ZodArray<z.ZodType<TreeNode, TreeNode>> {
      return z.array(nodeSchema);
    },
  })
  .meta({ id: "RunTreeNode" });

/** The run that began a chain, and all that came of it. */
export type RunTree = TreeNode & { truncated: boolean };

export const runTreeSchema = z
  .object({
    ...fields,
    children: z.array(nodeSchema),
    truncated: z.boolean().describe("Whether the chain has more runs than are shown"),
  })
  .meta({ id: "RunTree", example: RUN_TREE });

export const drawnTreeSchema = z.string().meta({ example: RUN_TREE_DRAWN });
export const mermaidTreeSchema = z.string().meta({ example: RUN_TREE_MERMAID });

/**
 * The tree of a chain.
 * @param runs each after the one that triggered it
 * @param self the run that was asked for
 */
export function treeView(runs: readonly ChainRun[], self: string, truncated: boolean): RunTree {
  const nodes = new Map(runs.map((run) => [run.id, nodeView(run, self)]));
  let root: TreeNode | undefined;
  for (const { id, parentId } of runs) {
    const node = nodes.get(id) as TreeNode;
    const parent = parentId === null ? undefined : nodes.get(parentId);
    if (parent === undefined) root ??= node;
    else parent.children.push(node);
  }
  if (root === undefined) throw new Error("a chain has a first run");
  for (const { children } of nodes.values()) children.sort((a, b) => (a.id < b.id ? -1 : 1));
  return { ...root, truncated };
}

function nodeView({ startedAt, finishedAt, ...run }: ChainRun, self: string): TreeNode {
  const { id, name, state, status, event, triggeredAt } = run;
  return {
    id,
    name,
    state,
    status,
    event,
    triggered_at: triggeredAt.toISOString(),
    duration_ms: startedAt && finishedAt && finishedAt.getTime() - startedAt.getTime(),
    self: id === self,
    children: [],
  };
}
