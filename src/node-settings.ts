/** Starts Node again with settings that keep it small: most of them must be there before Node starts. */
import { existsSync, lstatSync, mkdirSync } from "node:fs";
import { flushCompileCache } from "node:module";
import { join, resolve } from "node:path";
import { setFlagsFromString } from "node:v8";

/**
 * The limit of the young generation, which takes up to three times as much (MB) and keeps it. Node's own limit lets it
 * take 110 MB within a thousand runs.
 */
const YOUNG_GENERATION = "--max-semi-space-size";
const YOUNG_GENERATION_MB = 4;

/** Settings of V8 that it reads while it runs. A Node that does not know one ignores it. */
const V8_FLAGS = [
  // Optimizing Prisma's WebAssembly takes 40 MB at the start, which malloc keeps. The hot path does without Prisma.
  "--no-wasm-tier-up",
  "--no-wasm-dynamic-tiering",
  // V8 collects garbage when the heap has grown by this share (%). By itself it lets a small heap grow fourfold.
  "--heap-growing-percent=40",
];

/** Settings of glibc: with an arena for each of V8's threads, memory that one has freed is of no use to the others. */
const MALLOC_ENV = { MALLOC_ARENA_MAX: "2" };

/** Tells the next start of Node why it was started; it is in the environment of that process only. */
const REASON = "CARILLON_NODE_START";

/**
 * Loads `.env`, and starts Node again with the settings. Then this does not return: the same process begins anew.
 * Returns in the process that has the settings, and where Node cannot start again.
 */
export function applySettings(): void {
  // Variables that are already set keep their values.
  if (existsSync(".env")) process.loadEnvFile(".env");
  for (const flag of V8_FLAGS) setFlagsFromString(flag);
  if (process.env[REASON] !== undefined) return;
  const cache =
    process.env["NODE_COMPILE_CACHE"] || privateFolder(resolve(process.env["DATA_DIR"] || "data"));
  const flags = process.env["NODE_OPTIONS"]?.includes(YOUNG_GENERATION)
    ? []
    : [`${YOUNG_GENERATION}=${YOUNG_GENERATION_MB}`];
  startAgain("settings", [...flags, ...process.execArgv], {
    ...MALLOC_ENV,
    ...process.env,
    ...(cache && { NODE_COMPILE_CACHE: cache }),
  });
}

/**
 * Call it when all code is loaded. If that took Node's TypeScript compiler, Node starts once more, with the compiled
 * code from the cache: the compiler would stay in memory with 20 MB. This happens after an installation or an update.
 */
export function dropCompiler(): void {
  const { moduleLoadList = [] } = process as { moduleLoadList?: readonly string[] };
  const hasCompiler = moduleLoadList.some((name) => name.includes("amaro"));
  if (!hasCompiler || process.env[REASON] !== "settings" || !process.env["NODE_COMPILE_CACHE"]) return;
  flushCompileCache();
  startAgain("compiled", process.execArgv, process.env);
}

function startAgain(reason: string, flags: readonly string[], env: NodeJS.ProcessEnv): void {
  // It is missing on Windows and in older releases.
  if (process.platform === "win32" || process.execve === undefined) return;
  const args = [process.execPath, ...flags, ...process.argv.slice(1)];
  process.execve(process.execPath, args, { ...env, [REASON]: reason } as Record<string, string>);
}

/**
 * Makes a folder for compiled code in `dataDir`. Undefined when it cannot be made, or when another account could write
 * to it: we would run what that account writes.
 */
function privateFolder(dataDir: string): string | undefined {
  const folder = join(dataDir, "compile-cache");
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    return isPrivate(dataDir) && isPrivate(folder) ? folder : undefined;
  } catch {
    return undefined;
  }
}

function isPrivate(folder: string): boolean {
  const { uid, mode } = lstatSync(folder);
  return uid === process.getuid?.() && (mode & 0o022) === 0;
}
