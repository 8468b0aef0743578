/** Readies a checkout before npm start, test and check: packages installed, database client generated. On Node >= 20. */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

const OLDEST_NODE_TO_PREPARE = [20, 0];
const OLDEST_NODE_TO_RUN = [22, 18];

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const inRoot = (...names) => path.join(root, ...names);
const read = (...names) => readFileSync(inRoot(...names), "utf8");

const stamp = inRoot("src", "postgres", "generated", ".stamp");

try {
  if (isOlder(process.version, OLDEST_NODE_TO_PREPARE)) {
    throw new Error(`Carillon needs Node 20 or newer, and this is ${process.version}.`);
  }
  if (!isInstalled()) await alone((lock) => isInstalled() || install(lock));
  requireNode();
  if (!isGenerated()) await alone(() => isGenerated() || generate());
} catch (error) {
  console.error(`\n${error.message}\n`);
  process.exitCode = 1;
}

/** Whether node_modules is what package-lock.json says, by the record that npm writes when it has succeeded. */
function isInstalled() {
  if (!existsSync(inRoot("node_modules", ".package-lock.json"))) return false;
  const wanted = JSON.parse(read("package-lock.json")).packages;
  const present = JSON.parse(read("node_modules", ".package-lock.json")).packages;
  return Object.entries(wanted).every(([folder, { version, integrity, optional, os, cpu }]) => {
    if (folder === "") return true;
    const found = present[folder];
    const fits = (os?.includes(process.platform) ?? true) && (cpu?.includes(process.arch) ?? true);
    // An optional one may be missing on any platform; one for another platform tells of a folder that was moved.
    if (found === undefined) return optional === true;
    return fits && found.version === version && found.integrity === integrity;
  });
}

function install(lock) {
  console.error("Installing the packages of package-lock.json");
  // No warnings: they are about the Node at hand, and the packages will run on a newer one.
  const flags = ["--include=dev", "--include=optional", "--no-audit", "--no-fund", "--loglevel=error"];
  // Not on the Node of node_modules, which is about to be replaced.
  const PATH = process.env.PATH.split(path.delimiter).filter(
    (folder) => !folder.endsWith("node_modules/.bin"),
  );
  const { status, error } = spawnSync("npm", ["ci", ...flags], {
    cwd: root,
    env: { ...process.env, PATH: PATH.join(path.delimiter) },
    // If this process is killed, npm goes on for a while, and the lock with it.
    stdio: ["inherit", "inherit", "inherit", lock._handle.fd],
  });
  if (status !== 0)
    throw new Error(`npm ci failed${error ? `: ${error.message}` : ", for the reason above."}`);
}

/** Checks the Node that npm scripts find first: the one of the package `node`, unless its script was not run. */
function requireNode() {
  const { stdout } = run("node", "--version");
  if (stdout && !isOlder(stdout, OLDEST_NODE_TO_RUN)) return;
  throw new Error(
    `Carillon needs Node ${OLDEST_NODE_TO_RUN.join(".")} or newer, and npm scripts would run on ` +
      `${stdout?.trim() || "none that works here"}.\n` +
      "The package `node` brings one, if npm may run its install script: `npm rebuild node --ignore-scripts=false`.\n" +
      "Or install a newer Node yourself.",
  );
}

function isGenerated() {
  return existsSync(stamp) && readFileSync(stamp, "utf8") === fingerprint();
}

function generate() {
  console.error("Generating the database client");
  const made = fingerprint();
  rmSync(stamp, { force: true });
  const { status, stdout, stderr } = run(
    "node",
    inRoot("node_modules", "prisma", "build", "index.js"),
    "generate",
  );
  if (status !== 0) throw new Error(`prisma generate failed:\n${stdout}${stderr}`);
  writeFileSync(stamp, made);
}

/** What the generated client depends on. */
function fingerprint() {
  const sources = [
    ["prisma", "schema.prisma"],
    ["prisma.config.ts"],
    ["node_modules", "prisma", "package.json"],
  ];
  return createHash("sha256")
    .update(sources.map((names) => read(...names)).join("\0"))
    .digest("hex");
}

/** Runs a program as npm scripts find it. */
function run(program, ...args) {
  const PATH = inRoot("node_modules", ".bin") + path.delimiter + process.env.PATH;
  const env = { ...process.env, PATH, CHECKPOINT_DISABLE: "1", PRISMA_HIDE_UPDATE_MESSAGE: "1" };
  return spawnSync(program, args, { cwd: root, env, encoding: "utf8" });
}

function isOlder(version, [major, minor]) {
  const [itsMajor, itsMinor] = version.replace("v", "").split(".").map(Number);
  return itsMajor < major || (itsMajor === major && itsMinor < minor);
}

/** Does the work while no other process does it in this checkout; a socket, for it goes with its process. */
async function alone(work) {
  const who = `${root}\0${process.getuid?.()}`;
  const address = `carillon-prepare-${createHash("sha256").update(who).digest("hex").slice(0, 16)}`;
  process.chdir(tmpdir()); // a socket's path must be short, and that of the folder may not be
  for (;;) {
    const lock = createServer();
    try {
      await once(lock.listen(address), "listening");
    } catch (error) {
      if (error.code !== "EADDRINUSE") throw error;
      await untilFree(address);
      continue;
    }
    try {
      return work(lock);
    } finally {
      lock.close();
    }
  }
}

/** Waits for the process that holds the lock to let go, and removes what a killed one left. */
async function untilFree(address) {
  const holder = connect(address);
  holder.on("connect", () => console.error("Waiting for another npm command that prepares this folder"));
  holder.on("error", ({ code }) => code === "ECONNREFUSED" && rmSync(address, { force: true }));
  await new Promise((resolve) => holder.on("close", resolve));
}
