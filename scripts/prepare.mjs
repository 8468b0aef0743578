/** Makes a checkout ready for an npm script: installs packages and Node, and generates the database client. */
import { clientIsGenerated, generateClient } from "./database/client.mjs";
import { oneAtATime } from "./prepare/one-at-a-time.mjs";
import {
  buildPackages,
  installPackages,
  packagesAreBuilt,
  packagesAreInstalled,
} from "./prepare/packages.mjs";
import { nodeOnPath, OLDEST_NODE, runs } from "./prepare/programs.mjs";

// The oldest Node for this file and its imports. Everything else needs OLDEST_NODE.
const OLDEST_NODE_TO_PREPARE = "20.0";

// `npm start` needs no development packages; every other script needs all packages.
const production = process.argv.includes("--production");

const steps = [
  {
    isDone: () => packagesAreInstalled({ production }),
    run: (lock) => installPackages({ production, lock }),
  },
  { isDone: () => packagesAreBuilt({ production }), run: (lock) => buildPackages({ production, lock }) },
  { isDone: clientIsGenerated, run: generateClient },
];

try {
  if (!runs(process.version, OLDEST_NODE_TO_PREPARE)) {
    throw new Error(`Carillon needs Node 20 or newer, and this is ${process.version}.`);
  }
  for (const { isDone, run } of steps) {
    // Another process may have done the step while this one waited for its turn.
    if (!isDone()) await oneAtATime(async (lock) => isDone() || (await run(lock)));
  }
  requireNode();
} catch (error) {
  console.error(`\n${error.message}\n`);
  process.exitCode = 1;
}

/** Throws if the `node` that npm scripts find first is too old. That happens where npm runs no install scripts. */
function requireNode() {
  const version = nodeOnPath({ withPackages: true });
  if (version !== undefined && runs(version, OLDEST_NODE)) return;
  throw new Error(
    `Carillon needs Node ${OLDEST_NODE} or newer, and npm scripts would run on ${version ?? "none that works here"}.\n` +
      "The package `node` brings one, if npm may run its install script: `npm rebuild node --ignore-scripts=false`.\n" +
      "Or install a newer Node yourself.",
  );
}
