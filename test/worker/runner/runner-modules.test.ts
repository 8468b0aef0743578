/** Tests that a runner loads next to nothing: its memory counts for each host, and each spawn copies its page tables. */
import { spawn } from "node:child_process";
import { text } from "node:stream/consumers";
import { expect, it } from "vitest";
import { temporaryFolder } from "../../support/temporary-folder.ts";

/** Writes what the runner has loaded to stderr, when it ends. */
const REPORT = `
import { registerHooks } from "node:module";
const files = [];
registerHooks({ load: (url, context, next) => (files.push(url), next(url, context)) });
process.on("exit", () => console.error(JSON.stringify({ files, builtin: process.moduleLoadList })));
`;
const RUNNER = new URL("../../../src/worker/runner/runner.ts", import.meta.url);
/** Parts of Node that take memory, and that no runner needs. */
const HEAVY =
  /^NativeModule (http|https|tls|crypto|inspector|worker_threads|sqlite|zlib|internal\/deps\/undici)\b/;

it("loads only its own files and light parts of Node", async () => {
  await using cache = await temporaryFolder();
  await loadedBy(cache.path);
  const { files, builtin } = await loadedBy(cache.path);
  const others = files.filter(
    (url) => !url.startsWith("node:") && !url.startsWith(new URL(".", RUNNER).href),
  );
  expect(others).toEqual([]);
  expect(builtin.filter((name) => HEAVY.test(name))).toEqual([]);
  expect(builtin.filter((name) => name.includes("amaro"))).toEqual([]);
});

async function loadedBy(cacheFolder: string): Promise<{ files: string[]; builtin: string[] }> {
  const report = `data:text/javascript,${encodeURIComponent(REPORT)}`;
  const runner = spawn(process.execPath, ["--import", report, RUNNER.pathname], {
    env: { NODE_COMPILE_CACHE: cacheFolder },
    stdio: ["ignore", "ignore", "pipe", "pipe"],
  });
  // Its first frame says that it is ready. It ends when its socket closes.
  runner.stdio[3]?.once("data", () => runner.stdio[3]?.destroy());
  if (runner.stderr === null) throw new Error("the runner has no stderr");
  return JSON.parse(await text(runner.stderr));
}
