/** Shows the chain of a run as a tree, as lines of text, and as a Mermaid flowchart. */
import type { ChainRun } from "../../runs/tree.ts";
import { formatDuration } from "../../time/duration.ts";
import type { RunTree, TreeNode } from "../schemas/run.ts";

/**
 * Builds the tree of a chain.
 * @param runs the runs, each after the one that triggered it
 * @param self the id of the requested run
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

/** One step of a walk through a chain, parents first. */
interface TreeStep {
  node: TreeNode;
  /** The number of the run in the walk, from 0. */
  index: number;
  /** The index of the run that triggered it; undefined for the first. */
  parent: number | undefined;
  /** One entry for each run on the path to this run, without the first: whether it is the last child. */
  isLast: readonly boolean[];
}

function* walk(tree: TreeNode): Generator<TreeStep, void> {
  let count = 0;
  function* below(
    node: TreeNode,
    parent: number | undefined,
    isLast: readonly boolean[],
  ): Generator<TreeStep> {
    const index = count++;
    yield { node, index, parent, isLast };
    for (const child of node.children) {
      yield* below(child, index, [...isLast, child === node.children.at(-1)]);
    }
  }
  yield* below(tree, undefined, []);
}

/** Draws one line for each run, like the program `tree`. */
export function drawTree(tree: RunTree): string {
  const lines = [...walk(tree)].map(({ node, isLast }) => branch(isLast) + describe(node));
  const cut = tree.truncated ? ["(more runs are not shown)"] : [];
  return [...lines, ...cut, ""].join("\n");
}

function branch(isLast: readonly boolean[]): string {
  const trunk = isLast.slice(0, -1).map((last) => (last ? "    " : "│   "));
  const own = isLast.slice(-1).map((last) => (last ? "└── " : "├── "));
  return [...trunk, ...own].join("");
}

function describe(node: TreeNode): string {
  return [node.name, ...outcome(node), node.event ?? [], node.self ? "(this run)" : []].flat().join("  ");
}

function outcome({ state, status, duration_ms }: TreeNode): string[] {
  return [
    state,
    status === null ? [] : `exit ${status}`,
    duration_ms === null ? [] : formatDuration(duration_ms),
  ].flat();
}

/** Returns a flowchart with a box for each run, and an arrow with the event from the run that triggered it. */
export function mermaidTree(tree: RunTree): string {
  const lines = [...walk(tree)].flatMap(({ node, index, parent }) => [
    `  r${index}["${escaped(node.name)}<br>${outcome(node).join(", ")}"]`,
    ...(parent === undefined ? [] : [`  r${parent} -->|${node.event}| r${index}`]),
    ...(node.self ? [`  style r${index} stroke-width:4px`] : []),
  ]);
  const cut = tree.truncated ? ['  more["more runs are not shown"]'] : [];
  return `${["flowchart TD", ...lines, ...cut].join("\n")}\n`;
}

/** Escapes the characters that Mermaid treats as markup, for text inside quotes. */
function escaped(text: string): string {
  return text.replaceAll(/["&<>`#;]/g, (character) => `#${character.charCodeAt(0)};`);
}
