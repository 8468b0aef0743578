/** Finds and runs programs as npm scripts would, with or without those of the installed packages. */
import { spawnSync } from "node:child_process";
import path from "node:path";
import { fileURLToPath } from "node:url";

/** The oldest Node that runs TypeScript as it is. */
export const OLDEST_NODE = "22.18";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** Where something stands in the checkout. */
export function inRoot(...names) {
  return path.join(root, ...names);
}

/**
 * Returns the version of the `node` that is first on the PATH, such as v24.1.0; undefined if none works.
 *
 * @param withPackages whether the package `node` counts: npm scripts find it first
 */
export function nodeOnPath({ withPackages }) {
  const PATH = withPackages ? pathWithPackages() : pathWithoutPackages();
  const { status, stdout } = spawnSync("node", ["--version"], {
    env: { ...process.env, PATH },
    encoding: "utf8",
  });
  return status === 0 ? stdout.trim() : undefined;
}

/** Runs npm on the Node of the machine, since npm may replace the one in node_modules. Throws if npm fails. */
export function runNpm(args, { lock }) {
  const { status, error } = spawnSync("npm", args, {
    cwd: root,
    env: { ...process.env, PATH: pathWithoutPackages() },
    // npm outlives this process if that is killed. It inherits the lock, and so nobody else starts in the meantime.
    stdio: ["inherit", "inherit", "inherit", lock._handle.fd],
  });
  if (status === 0) return;
  throw new Error(`npm ${args[0]} failed${error ? `: ${error.message}` : ", for the reason above."}`);
}

/** Whether a version such as v22.18.1 is at least `oldest`, such as 22.18. */
export function runs(version, oldest) {
  const [major, minor] = version.replace("v", "").split(".").map(Number);
  const [oldestMajor, oldestMinor] = oldest.split(".").map(Number);
  return major > oldestMajor || (major === oldestMajor && minor >= oldestMinor);
}

function pathWithPackages() {
  return inRoot("node_modules", ".bin") + path.delimiter + process.env.PATH;
}

function pathWithoutPackages() {
  const folders = process.env.PATH.split(path.delimiter);
  return folders.filter((folder) => !folder.endsWith("node_modules/.bin")).join(path.delimiter);
}
