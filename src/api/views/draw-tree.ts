/** A chain of runs drawn: as lines of text, and as a Mermaid flowchart. */

import { formatDuration } from "../../time/duration.ts";
import type { RunTree, TreeNode } from "../schemas/run-tree.ts";

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
