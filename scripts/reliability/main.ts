/** Runs a campaign of faults against real processes, round by round, and prints the figures: npm run reliability. */
import { mkdtemp, rm } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { createDatabase, dropDatabase, openServer } from "../../test/support/postgres-server.ts";
import { processesWith } from "../../test/support/process-search.ts";
import { burst } from "./burst.ts";
import type { Campaign, Findings, World } from "./campaign.ts";
import { databaseClock, nodeClock } from "./clocks.ts";
import { commands } from "./commands.ts";
import { crash } from "./crash.ts";
import { cut } from "./cut.ts";
import { flood } from "./flood.ts";
import { freeze } from "./freeze.ts";
import { schedulers } from "./schedulers.ts";
import { slots } from "./slots.ts";

const CAMPAIGNS: Readonly<Record<string, Campaign>> = {
  crash,
  freeze,
  cut,
  commands,
  flood,
  schedulers,
  slots,
  burst,
  "node-clock": nodeClock,
  "database-clock": databaseClock,
};
const USAGE = `npm run reliability -- CAMPAIGN [--rounds 20] [--seed 1]

${Object.entries(CAMPAIGNS)
  .map(([name, { title }]) => `  ${name.padEnd(14)} ${title}`)
  .join("\n")}

Round N has the seed that was given plus N: --seed S --rounds 1 repeats one round.`;

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { rounds: { type: "string", default: "20" }, seed: { type: "string", default: "1" } },
});
const campaign = CAMPAIGNS[positionals[0] ?? ""];
const rounds = Number(values.rounds);
const firstSeed = Number(values.seed);
if (campaign === undefined || !Number.isInteger(rounds) || !Number.isInteger(firstSeed)) {
  console.error(USAGE);
  process.exit(2);
}

await using stack = new AsyncDisposableStack();
const server = await openServer();
stack.defer(() => server.stop());
const folder = await mkdtemp(join(tmpdir(), "carillon-reliability-"));
stack.defer(() => rm(folder, { recursive: true, force: true }));
let givingUp: Promise<never> | undefined;
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => {
    givingUp ??= giveUp();
  });
}

console.log(`${campaign.title}: ${rounds} rounds from seed ${firstSeed}`);
const all: Findings[] = [];
for (let seed = firstSeed; seed < firstSeed + rounds; seed++) {
  const startedAt = performance.now();
  const findings = await round(campaign, seed);
  const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1);
  console.log(`seed ${seed}: ${findings.broken.length === 0 ? "held" : "BROKEN"} (${seconds} s)`);
  for (const broken of findings.broken) console.log(`  ${broken}`);
  all.push(findings);
}
printFigures(all);
if (all.some(({ broken }) => broken.length > 0)) process.exitCode = 1;

async function round(campaign: Campaign, seed: number): Promise<Findings> {
  const name = `carillon_reliability_${process.pid}_${seed}`;
  const world: World = {
    connectionString: await createDatabase(server.connectionString, name),
    folder: await mkdtemp(join(folder, "round-")),
    seed,
  };
  try {
    return await campaign.run(world);
  } catch (error) {
    return { broken: [(error as Error).message], figures: {} };
  } finally {
    // After a signal, wait for the clean-up instead of starting anything else.
    await givingUp;
    await dropDatabase(server.connectionString, name);
    await rm(world.folder, { recursive: true, force: true });
  }
}

/** Kills all services, since stopped ones react to no other signal. Their command lines or environment name the folder. */
async function giveUp(): Promise<never> {
  for (const pid of processesWith(folder)) process.kill(pid, "SIGKILL");
  await stack.disposeAsync();
  process.exit(130);
}

function printFigures(findings: readonly Findings[]): void {
  const names = new Set(findings.flatMap(({ figures }) => Object.keys(figures)));
  const rows = [...names].map((name) => {
    const sorted = findings.flatMap(({ figures }) => figures[name] ?? []).sort((a, b) => a - b);
    const [p50, max] = [sorted[Math.ceil(sorted.length / 2) - 1], sorted.at(-1)];
    return `| ${name} | ${sorted.length} | ${Math.round(p50 ?? 0)} | ${Math.round(max ?? 0)} |`;
  });
  const held = findings.filter(({ broken }) => broken.length === 0).length;
  console.log(
    `\n${held} of ${findings.length} rounds held. ${cpus().length} CPUs, Node ${process.version}.\n`,
  );
  console.log(["| figure | n | p50 | max |", "| --- | --- | --- | --- |", ...rows].join("\n"));
}
