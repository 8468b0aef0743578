/** Finds the regular expressions of the service: literals as the compiler reads them, others by loading their file. */
import { isIdentifier, isNewExpression, isRegularExpressionLiteral } from "typescript/unstable/ast/is";
import { readSources } from "./source-files.ts";

export interface Pattern {
  /** File and line. */
  place: string;
  source: string;
  flags: string;
}

type Node = Parameters<typeof isNewExpression>[0];

/** All patterns below a folder. Throws for one that is only built when its code runs: it could not be tried here. */
export function sourcePatterns(root: string, folder: string): Promise<Pattern[]> {
  return readSources(root, folder, async (file, source) => {
    const patterns: Pattern[] = [];
    const built: string[] = [];
    const place = (node: Node) =>
      `${file.slice(root.length + 1)}:${source.text.slice(0, node.getStart()).split("\n").length}`;
    const visit = (node: Node): void => {
      if (isRegularExpressionLiteral(node)) patterns.push({ place: place(node), ...parts(node.text) });
      if (isNewExpression(node) && isIdentifier(node.expression) && node.expression.text === "RegExp") {
        built.push(place(node));
      }
      node.forEachChild(visit);
    };
    visit(source);
    return built.length === 0 ? patterns : [...patterns, ...(await builtPatterns(file, built))];
  });
}

function parts(literal: string): Omit<Pattern, "place"> {
  const end = literal.lastIndexOf("/");
  return { source: literal.slice(1, end), flags: literal.slice(end + 1) };
}

/** What a file hands to RegExp while it is loaded; a query makes Node load it once more. */
async function builtPatterns(file: string, places: readonly string[]): Promise<Pattern[]> {
  const Original = globalThis.RegExp;
  const seen: RegExp[] = [];
  globalThis.RegExp = new Proxy(Original, {
    construct: (target, args, newTarget) => {
      const pattern = Reflect.construct(target, args, newTarget);
      if (new Error().stack?.includes(file)) seen.push(pattern);
      return pattern;
    },
  });
  try {
    await import(`${file}?patterns`);
  } finally {
    globalThis.RegExp = Original;
  }
  if (seen.length !== places.length) throw new Error(`Make it a constant of its file: ${places.join(", ")}`);
  return seen.map(({ source, flags }, index) => ({ place: places[index] ?? file, source, flags }));
}
