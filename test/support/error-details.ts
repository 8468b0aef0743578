/** Finds what each error of the service says, in its source. */
import {
  isCallExpression,
  isConditionalExpression,
  isIdentifier,
  isNewExpression,
  isNoSubstitutionTemplateLiteral,
  isStringLiteral,
  isTemplateExpression,
} from "typescript/unstable/ast/is";
import { readSources } from "./source-files.ts";

type Node = Parameters<typeof isNewExpression>[0];

/** Functions of src/errors.ts that return sentences. */
const SENTENCES: ReadonlySet<string> = new Set(["sentence", "wrongFields"]);

/** The details of each code; `…` stands for what is only known when the code runs. */
export async function errorDetails(root: string): Promise<Map<string, string[]>> {
  const all = await readSources(root, "src", (file, source) => {
    const found: { code: string; details: string[] }[] = [];
    const visit = (node: Node): void => {
      if (
        isNewExpression(node) &&
        isIdentifier(node.expression) &&
        node.expression.text === "CarillonError"
      ) {
        const [code, detail] = node.arguments ?? [];
        if (code === undefined || !isStringLiteral(code)) throw new Error(`${file}: a code is no literal`);
        found.push({ code: code.text, details: textsOf(detail) });
      }
      node.forEachChild(visit);
    };
    visit(source);
    return found;
  });
  const byCode = Map.groupBy(all, ({ code }) => code);
  return new Map([...byCode].map(([code, found]) => [code, found.flatMap(({ details }) => details)]));
}

function textsOf(node: Node | undefined): string[] {
  if (node === undefined) return [""];
  if (isStringLiteral(node) || isNoSubstitutionTemplateLiteral(node)) return [node.text];
  if (isTemplateExpression(node)) {
    return [node.head.text + node.templateSpans.map(({ literal }) => `…${literal.text}`).join("")];
  }
  if (isConditionalExpression(node)) return [...textsOf(node.whenTrue), ...textsOf(node.whenFalse)];
  const isSentence =
    isCallExpression(node) && isIdentifier(node.expression) && SENTENCES.has(node.expression.text);
  return isSentence ? ["A sentence."] : [`neither a text nor a sentence: ${node.getText()}`];
}
