/** Runs every unusual command in one service, checks each result, and counts leftover processes and files. */
import { readdirSync, readlinkSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Run } from "../../test/support/api-client.ts";
import { descendantsOf, processesWith } from "../../test/support/process-search.ts";
import type { ServiceProcess } from "../../test/support/service-process.ts";
import {
  byCallers,
  type Campaign,
  type Checks,
  createChecks,
  type Findings,
  startNode,
  until,
  type World,
} from "./campaign.ts";
import { type CommandCase, commandCases, type Expected, type Extent, PATIENCE_MS } from "./command-cases.ts";

const GIBIBYTE = 1_073_741_824;
const ALL_EXIT_CODES = Array.from({ length: 256 }, (_, code) => code);
/** The runner keeps some pipes in reserve. */
const SPARE_FILES = 64;

/** One round runs every case once. */
export const commands: Campaign = {
  title: "odd commands through a running service",
  run: (world) => commandsOnce(world, { floodBytes: GIBIBYTE, exitCodes: ALL_EXIT_CODES }),
};

export async function commandsOnce(world: World, extent: Extent): Promise<Findings> {
  const checks = createChecks();
  await writeFile(join(world.folder, "not-executable"), "#!/bin/sh\n");
  await using service = await startNode(world, "node", { WORKER_CONCURRENCY: "8" });
  await service.client.putJob("warm-up", { command: "true" });
  await service.client.trigger("warm-up", undefined, "30s");
  const filesBefore = openFiles(service);

  const figures: Record<string, number> = {};
  await byCallers(commandCases(extent), async (one) => {
    await service.client.putJob(jobOf(one.name), one.job);
    const tookMs = await byCallers(one.variants, (variant) =>
      runCase(service, one, { ...variant, ROUND: world.folder }, checks),
    );
    // A run ends only when no process of its command is left.
    const left = processesWith(`CARILLON_JOB=${jobOf(one.name)}`, world.folder).length;
    checks.that(left === 0, `${one.name}: ${left} processes are left`);
    figures[`${one.name}: longest attempt (ms)`] = Math.max(...tookMs);
  });
  const filesKept = openFiles(service) - filesBefore;
  figures["files that were opened and not closed"] = filesKept;
  checks.that(filesKept <= SPARE_FILES, `${filesKept} files more are open`);
  return { broken: checks.broken, figures };
}

/** Turns a title into a job name: names have no slashes. */
function jobOf(caseName: string): string {
  return caseName.replaceAll("/", "-");
}

/** Returns the duration of the attempt, in ms. */
async function runCase(
  service: ServiceProcess,
  { name, expected }: CommandCase,
  variant: Record<string, string>,
  checks: Checks,
): Promise<number> {
  const { ROUND: _round, ...shown } = variant;
  const title = [name, ...Object.values(shown)].join(" ");
  const { id } = await service.client.trigger(jobOf(name), { env: variant });
  const run = await until(`${title} ends`, PATIENCE_MS, async () => {
    const { finished_at, ...rest } = await service.client.run(id, "50s");
    return finished_at === null ? undefined : ({ finished_at, ...rest } as Run);
  });
  const log = await service.client.call<string>("GET", `/runs/${id}/log`);
  const [attempt] = run.attempts;
  const fault = faultOf(expected(variant), run, log.body);
  checks.that(fault === undefined, `${title}: ${fault}`);
  const tookMs = attempt?.duration_ms ?? Number.NaN;
  checks.that(tookMs <= PATIENCE_MS, `${title}: took ${tookMs} ms`);
  return tookMs;
}

function faultOf(expected: Expected, run: Run, log: string): string | undefined {
  const [attempt] = run.attempts;
  const given = `${attempt?.state} ${attempt?.status}`;
  if (given !== `${expected.state} ${expected.status}`) return `${given}: ${log.slice(0, 200)}`;
  const wanted = expected.log;
  if (wanted === undefined) return undefined;
  const isRight = typeof wanted === "string" ? log === wanted : wanted(log, run);
  return isRight ? undefined : `printed ${log.slice(0, 200)}`;
}

/** Counts the file descriptors of the service and its helper processes. Sockets do not count: clients keep them open. */
function openFiles({ child: { pid = 0 } }: ServiceProcess): number {
  return [pid, ...descendantsOf(pid)].reduce((sum, one) => sum + filesOf(one), 0);
}

/** Returns 0 for a process that has already ended. */
function filesOf(pid: number): number {
  try {
    const links = readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
    return links.filter((link) => !link.startsWith("socket:")).length;
  } catch {
    return 0;
  }
}
