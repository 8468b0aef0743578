/** A process that runs commands with pg-boss and a plain spawn: what one would write by hand, without an API and a history. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { PgBoss } from "pg-boss";
import { inLanes, timed } from "./http-client.ts";
import { answerRequests } from "./measuring-host.ts";

/** A request to the host. */
export interface LoopOrder {
  inFlight: number;
  seconds: number;
}

/** The response: all times in ms. */
export interface Loop {
  count: number;
  seconds: number;
  /** For each run, how long `send` took. */
  ack: number[];
  /** For each run, the time from the call of `send` until spawn has returned. */
  start: number[];
  /** Processor time of this process. */
  processor: number;
}

const QUEUE = "commands";
const COMMAND = "true";

if (process.send !== undefined) await serve(process.argv[2] ?? "");

async function serve(connectionString: string): Promise<void> {
  const boss = new PgBoss({ connectionString, schedule: false });
  boss.on("error", (error) => console.error(error));
  await boss.start();
  await boss.createQueue(QUEUE);
  await answerRequests<LoopOrder>((order) => runLoop(boss, order));
}

/** Keeps `inFlight` runs between send and complete. */
async function runLoop(boss: PgBoss, { inFlight, seconds }: LoopOrder): Promise<Loop> {
  const ends = new Map<string, { sentAt: number; resolve: () => void }>();
  const [ack, start]: [number[], number[]] = [[], []];
  const before = process.cpuUsage();
  let [waiting, active] = [0, 0];
  let isFetching = false;

  /** Fetches as many as may start, again and again while some wait. */
  async function fetchAll(): Promise<void> {
    if (isFetching) return;
    isFetching = true;
    while (waiting > 0) {
      const jobs = await boss.fetch<{ key: string }>(QUEUE, { batchSize: inFlight - active });
      waiting -= jobs.length;
      active += jobs.length;
      for (const { id, data } of jobs) void execute(id, data.key);
      if (active >= inFlight) break;
    }
    isFetching = false;
  }

  async function execute(id: string, key: string): Promise<void> {
    const end = ends.get(key);
    const child = spawn(COMMAND, [], { stdio: ["ignore", "pipe", "pipe"] });
    start.push(performance.now() - (end?.sentAt ?? 0));
    child.stdout.resume();
    child.stderr.resume();
    const [code] = await once(child, "close");
    if (code !== 0) throw new Error(`the command ended with ${code}`);
    await boss.complete(QUEUE, id);
    active -= 1;
    ends.delete(key);
    end?.resolve();
    if (waiting > 0) void fetchAll();
  }

  const took = await inLanes(inFlight, seconds, async () => {
    const key = crypto.randomUUID();
    const ended = new Promise<void>((resolve) => ends.set(key, { sentAt: performance.now(), resolve }));
    await timed(ack, () => boss.send(QUEUE, { key }));
    waiting += 1;
    void fetchAll();
    await ended;
  });
  const { user, system } = process.cpuUsage(before);
  return { count: start.length, seconds: took, ack, start, processor: (user + system) / 1_000 };
}
