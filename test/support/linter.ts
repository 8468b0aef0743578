/** The project's own lint rules, run over files that need not exist. */
import { execFile } from "node:child_process";
import { copyFile, mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { temporaryFolder } from "./temporary-folder.ts";

const ROOT = join(import.meta.dirname, "../..");
// The usual tools do not read TypeScript 7 yet: dependency-cruiser then reports success over no modules at all.
const BIOME = join(ROOT, "node_modules/@biomejs/biome/bin/biome");
const SETTINGS = ["biome.json", "scripts/pure-rules.grit", ".gitignore"];

interface Report {
  diagnostics: { category: string; location: { path: string; start: { line: number } } }[];
}

/**
 * Lints files given as lines.
 * @param rule which findings count: a pattern of the rule's category
 * @returns per file, the lines that the rule lets pass
 */
export async function lint(
  files: Record<string, readonly string[]>,
  rule: RegExp,
): Promise<Record<string, string[]>> {
  await using folder = await temporaryFolder();
  const place = async (path: string) => {
    await mkdir(dirname(join(folder.path, path)), { recursive: true });
    return join(folder.path, path);
  };
  for (const file of SETTINGS) await copyFile(join(ROOT, file), await place(file));
  for (const [file, lines] of Object.entries(files)) await writeFile(await place(file), lines.join("\n"));
  const { diagnostics } = await runBiome(folder.path);
  const refused = diagnostics
    .filter(({ category }) => rule.test(category))
    .map(({ location: { path, start } }) => `${path}:${start.line}`);
  return Object.fromEntries(
    Object.entries(files).map(([file, lines]) => [
      file,
      lines.filter((_, index) => !refused.includes(`${file}:${index + 1}`)),
    ]),
  );
}

function runBiome(cwd: string): Promise<Report> {
  const options = ["lint", "--reporter=json", "--max-diagnostics=none"];
  return new Promise((resolve, reject) => {
    // It exits with 1 when it has findings; without a report there is nothing to parse.
    execFile(process.execPath, [BIOME, ...options], { cwd, maxBuffer: 2 ** 24 }, (error, stdout) => {
      if (stdout === "") reject(error);
      else resolve(JSON.parse(stdout) as Report);
    });
  });
}
