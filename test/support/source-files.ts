/** Reads the source as the compiler does. */
import { API } from "typescript/unstable/sync";

type Program = NonNullable<ReturnType<ReturnType<API["updateSnapshot"]>["getProjects"]>[number]>["program"];
/** A parsed file. */
type SourceFile = NonNullable<ReturnType<Program["getSourceFile"]>>;

/** Returns what `read` makes of all files below a folder; `file` is an absolute path. */
export async function readSources<Result>(
  root: string,
  folder: string,
  read: (file: string, source: SourceFile) => Promise<Result[]> | Result[],
): Promise<Result[]> {
  const api = new API({ cwd: root });
  try {
    const [project] = api.updateSnapshot({ openProject: `${root}/tsconfig.json` }).getProjects();
    const { program } = project ?? {};
    if (program === undefined) throw new Error(`There is no project in ${root}`);
    const results: Result[] = [];
    for (const file of program.getSourceFileNames().filter((name) => name.startsWith(`${root}/${folder}/`))) {
      const source = program.getSourceFile(file);
      if (source === undefined) throw new Error(`${file} cannot be read`);
      results.push(...(await read(file, source)));
    }
    return results;
  } finally {
    api.close();
  }
}
