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
import { API } from "typescript/unstable/sync";

type Node = Parameters<typeof isNewExpression>[0];

/** Functions of src/errors.ts that return sentences. */
const SENTENCES: ReadonlySet<string> = new Set(["sentence", "wrongFields"]);

/** The details of each code; `…` stands for what is only known when the code runs. */
export function errorDetails(root: string): Map<string, string[]> {
  const api = new API({ cwd: root });
  try {
    const [project] = api.updateSnapshot({ openProject: `${root}/tsconfig.json` }).getProjects();
    const { program } = project ?? {};
    if (program === undefined) throw new Error(`There is no project in ${root}`);
    const found = new Map<string, string[]>();
    for (const file of program.getSourceFileNames().filter((name) => name.startsWith(`${root}/src/`))) {
      const visit = (node: Node): void => {
        if (
          isNewExpression(node) &&
          isIdentifier(node.expression) &&
          node.expression.text === "CarillonError"
        ) {
          const [code, detail] = node.arguments ?? [];
          if (code === undefined || !isStringLiteral(code)) throw new Error(`${file}: a code is no literal`);
          found.set(code.text, [...(found.get(code.text) ?? []), ...textsOf(detail)]);
        }
        node.forEachChild(visit);
      };
      const source = program.getSourceFile(file);
      if (source !== undefined) visit(source);
    }
    return found;
  } finally {
    api.close();
  }
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
