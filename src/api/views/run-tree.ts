/** The chain of a run: as a tree, drawn as lines of text, and as a Mermaid flowchart. */
import type { ChainRun } from "../../runs/tree.ts";
import { formatDuration } from "../../time/duration.ts";
import type { RunTree, TreeNode } from "../schemas/run.ts";

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

/** One line a run, as the program `tree` draws folders. */
export function drawTree(tree: RunTree): string {
  const cut = tree.truncated ? ["(there are more runs than are shown)"] : [];
  return [describe(tree), ...drawChildren(tree), ...cut, ""].join("\n");
}

function drawChildren({ children }: TreeNode): string[] {
  return children.flatMap((child, index) => {
    const [branch, below] = index === children.length - 1 ? ["└── ", "    "] : ["├── ", "│   "];
    return [branch + describe(child), ...drawChildren(child).map((line) => below + line)];
  });
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

/** A flowchart: a box a run, and an arrow from the run that triggered it, named after the event. */
export function mermaidTree(tree: RunTree): string {
  const lines = ["flowchart TD"];
  let count = 0;
  const draw = (node: TreeNode, parent: string | undefined) => {
    const name = `r${count++}`;
    lines.push(`  ${name}["${escaped(node.name)}<br>${outcome(node).join(", ")}"]`);
    if (parent !== undefined) lines.push(`  ${parent} -->|${node.event}| ${name}`);
    if (node.self) lines.push(`  style ${name} stroke-width:4px`);
    for (const child of node.children) draw(child, name);
  };
  draw(tree, undefined);
  if (tree.truncated) lines.push('  more["there are more runs than are shown"]');
  return `${lines.join("\n")}\n`;
}

/** Text inside quotes: what Mermaid would read as markup becomes its code. */
function escaped(text: string): string {
  return text.replaceAll(/["&<>`#;]/g, (character) => `#${character.charCodeAt(0)};`);
}
