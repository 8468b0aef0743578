/** Silences a worker that runs a command, lets another worker take over, and lets the first one come back. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { processesWith } from "../../test/support/process-search.ts";
import type { ServiceProcess } from "../../test/support/service-process.ts";
import { createChecks, type Findings, startNode, until, type World } from "./campaign.ts";

/** A way to silence a worker. */
export interface Fault {
  /** Starts the worker to silence, under the name `victim`. */
  start(): Promise<ServiceProcess>;
  silence(victim: ServiceProcess): Promise<void>;
  /** Ends the silence. */
  restore(): void;
  /** Whether the command is frozen too: then nothing can kill it before the worker is back. */
  freezesCommand: boolean;
}

/** What the command of the first attempt does during the silence. */
export type Work = "goes on" | "succeeds meanwhile";

/** The time in which a dead worker is noticed, counted from the silence. */
const NOTICED_MS = 30_000;
/** The time in which a worker that is back kills its command. */
const KILLED_MS = 2_000;

/** Each attempt writes its number into the file `beats`. The second attempt always succeeds. */
function command(work: Work): string {
  const beat = 'echo "$CARILLON_ATTEMPT" >> beats';
  const until = work === "goes on" ? "false" : "[ -e silent ]";
  return `${beat}; [ "$CARILLON_ATTEMPT" = 1 ] && exit; until ${until}; do ${beat}; sleep 0.05; done`;
}

/** Runs one fault. Calls `afterSilence` when the worker is silent. */
export async function takeOver(
  world: World,
  fault: Fault,
  work: Work,
  afterSilence: () => Promise<void>,
): Promise<Findings> {
  const checks = createChecks();
  await using api = await startNode(world, "api", { ROLES: "api,scheduler" });
  await using victim = await fault.start();
  await api.client.putJob("beating", { command: command(work), retry: { limit: 1, delay: "1ms" } });
  const { id } = await api.client.trigger("beating");
  const zombies = () => processesWith(`CARILLON_RUN_ID=${id}`, "CARILLON_ATTEMPT=0");
  await until("the command beats", 20_000, async () => (await beats(world)).length > 2 || undefined);

  await fault.silence(victim);
  const silentAt = Date.now();
  await afterSilence();
  await using second = await startNode(world, "second", { ROLES: "worker" });
  const gone = (what: string, patienceMs: number) =>
    until(what, patienceMs, async () => zombies().length === 0 || undefined).then(
      () => Date.now(),
      (error: Error) => {
        checks.that(false, error.message);
        return Number.NaN;
      },
    );
  const diedAt = fault.freezesCommand ? undefined : await gone("the first command dies", NOTICED_MS);
  const done = await until("the second attempt ends", 60_000, async () => {
    const run = await api.client.run(id);
    return run.attempts.length === 2 && run.finished_at !== null ? run : undefined;
  });
  const takenAt = Date.parse(done.attempts[1]?.started_at ?? "");
  checks.that(takenAt - silentAt <= NOTICED_MS, `it was taken over after ${takenAt - silentAt} ms`);
  const order = await beats(world);
  checks.that(order.lastIndexOf("0") < order.indexOf("1"), "both attempts were at work at the same time");

  fault.restore();
  const backAt = Date.now();
  const killedAt = await gone("the command of the worker that is back dies", KILLED_MS);
  await second.end("SIGTERM");
  await api.client.putJob("after", { command: "true" });
  const { id: next } = await api.client.trigger("after");
  const later = await until("the worker that is back works again", 40_000, async () => {
    const run = await api.client.run(next);
    return run.finished_at === null ? undefined : run;
  });
  checks.that(later.attempts[0]?.worker.endsWith(`:${victim.child.pid}`) ?? false, "another worker ran it");
  const settled = await api.client.run(id);
  checks.that(
    JSON.stringify(settled.attempts) === JSON.stringify(done.attempts) && settled.state === "succeeded",
    `the late result was taken: ${JSON.stringify(settled.attempts)}`,
  );
  const [first] = settled.attempts;
  checks.that(first?.state === "lost" && first.reason !== null, `the first attempt is ${first?.state}`);
  return {
    broken: checks.broken,
    figures: {
      ...(diedAt !== undefined &&
        work === "goes on" && { "first command dead after the silence began (ms)": diedAt - silentAt }),
      "second attempt after the silence began (ms)": takenAt - silentAt,
      ...(fault.freezesCommand && {
        "first command dead after the worker came back (ms)": killedAt - backAt,
      }),
    },
  };
}

/** The number of the attempt that wrote each beat. */
async function beats({ folder }: World): Promise<string[]> {
  const text = await readFile(join(folder, "beats"), "utf8").catch(() => "");
  return text.split("\n").filter((line) => line !== "");
}
