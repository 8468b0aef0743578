/** Measures webhooks to local receivers: how many a second, and how one silent host among ten affects the other nine. */
import { setTimeout as delay } from "node:timers/promises";
import { byCallers } from "../scripts/reliability/campaign.ts";
import type { Bench, Benchmark, Figures, Side } from "./benchmark.ts";
import { inLanes } from "./http-client.ts";
import { percentiles } from "./machine.ts";
import { openDatabase, openOneServer, readRow, type Server } from "./postgres.ts";
import { openBlackHole, openReceivers, type Receivers } from "./receivers.ts";
import { type BenchService, mainTime, openService } from "./service.ts";

export const benchmark: Benchmark = {
  summary: "webhooks a second to local receivers, and nine of them beside a host that says nothing",
  seconds: 5,
  rounds: 3,
  options: {
    waiting: { value: "10000", describe: "deliveries that wait for the silent host" },
    rate: { value: "5", describe: "runs a second, each with nine deliveries, while latency is measured" },
  },
  run,
};

const HOSTS = 9;
/** The address of the silent host. */
const SILENT = "127.0.0.10";
/** So many deliveries may wait while the rate is measured. */
const MOST_WAITING = 450;
const LANES = 8;
/** Addresses of the silent host in one run. */
const HOLES_PER_RUN = 50;
/** For how long a turn waits for its last deliveries, in ms. */
const PATIENCE_MS = 10_000;

async function run(bench: Bench): Promise<void> {
  const server = await openOneServer(bench);
  const receivers = await openReceivers(bench.stack, HOSTS);
  const alone = await openRinging(bench, server, receivers);
  const beside = await openRinging(bench, server, receivers);
  const waiting = bench.number("waiting");
  await fillHole(beside, await openBlackHole(bench.stack, SILENT), waiting);
  bench.progress(`${waiting} deliveries wait for the silent host`);
  const rate = bench.number("rate");
  const rates = ["one", "nine"].map(
    (job): Side => ({
      name: `as many as it can, ${job === "one" ? "one host" : `${HOSTS} hosts`}`,
      measure: (seconds) => deliverMany(alone, { job, receivers, seconds }),
    }),
  );
  const latencies = [
    { name: `${rate * HOSTS} deliveries/s to ${HOSTS} hosts`, service: alone },
    { name: `the same, ${waiting.toLocaleString("en")} waiting for a silent host`, service: beside },
  ].map(
    ({ name, service }): Side => ({ name, measure: (seconds) => deliverSome(service, { rate, seconds }) }),
  );
  bench.report(`Webhooks, ${server.name}`, await bench.takeTurns([...rates, ...latencies]));
  bench.note(
    "delivery: from its creation with the end of the run until the answer is recorded. main: processor time of the " +
      "service in % of one core, the runs of the job included.",
  );
}

/** A service with one job that calls one host nine times, and one job that calls nine hosts. */
async function openRinging(bench: Bench, server: Server, { urls }: Receivers): Promise<BenchService> {
  const service = await openService(bench, await openDatabase(bench, server), {
    WEBHOOK_ALLOW_CIDR: "127.0.0.0/8",
  });
  const job = (addresses: string[]) => ({ command: ["true"], on_success: { notify_webhook: addresses } });
  await service.api.json("PUT", "/jobs/one", job(urls.map((_, n) => `${urls[0]}/${n}`)));
  await service.api.json("PUT", "/jobs/nine", job(urls.map((url) => `${url}/`)));
  return service;
}

async function fillHole({ api }: BenchService, hole: string, count: number): Promise<void> {
  const addresses = Array.from({ length: Math.min(count, HOLES_PER_RUN) }, (_, n) => `${hole}/${n}`);
  const document = { command: ["true"], on_success: { notify_webhook: addresses } };
  await api.json("PUT", "/jobs/silent", document);
  const runs = Array.from({ length: Math.ceil(count / HOLES_PER_RUN) });
  await byCallers(runs, () => api.json("POST", "/jobs/silent/trigger?wait=30s"));
}

interface Many {
  job: string;
  receivers: Receivers;
  seconds: number;
}

/** Keeps deliveries waiting, and counts those that arrive. */
async function deliverMany(service: BenchService, { job, receivers, seconds }: Many): Promise<Figures> {
  const { api } = service;
  const [before, from, used] = [receivers.count(), performance.now(), mainTime(service)];
  const received = () => receivers.count() - before;
  let created = 0;
  const took = await inLanes(LANES, seconds, async () => {
    if (created - received() > MOST_WAITING) return delay(5);
    created += HOSTS;
    await api.json("POST", `/jobs/${job}/trigger?wait=30s`);
  });
  const arrived = received();
  const share = (mainTime(service) - used) / took / 10;
  while (received() < created && performance.now() - from < seconds * 1_000 + PATIENCE_MS) await delay(20);
  return { "deliveries/s": arrived / took, "main (% of a core)": share };
}

/** Triggers runs at a low rate, and reads how long their deliveries took. */
async function deliverSome(
  service: BenchService,
  { rate, seconds }: { rate: number; seconds: number },
): Promise<Figures> {
  const { api, session } = service;
  const { now } = await readRow<{ now: Date }>(session, "SELECT now()");
  const [from, used] = [performance.now(), mainTime(service)];
  const count = Math.max(1, Math.round(seconds * rate));
  const triggers: Promise<unknown>[] = [];
  for (let n = 0; n < count; n++) {
    await delay(Math.max(0, from + (1_000 * n) / rate - performance.now()));
    triggers.push(api.json("POST", "/jobs/nine/trigger?wait=30s"));
  }
  await delay(Math.max(0, from + seconds * 1_000 - performance.now()));
  const share = (mainTime(service) - used) / (performance.now() - from) / 0.01;
  await Promise.all(triggers);
  const delivered = async () => {
    const { rows } = await session.query(
      `SELECT (1000 * extract(epoch FROM d.finished_at - d.created_at))::float8 AS ms FROM delivery d
        JOIN run_event e ON e.id = d.event_id JOIN run ON run.id = e.run_id JOIN job ON job.id = run.job_id
      WHERE job.name = 'nine' AND run.triggered_at >= $1 AND d.state = 'delivered'`,
      [now],
    );
    return rows.map(({ ms }) => Number(ms));
  };
  let times = await delivered();
  const deadline = performance.now() + PATIENCE_MS;
  while (times.length < count * HOSTS && performance.now() < deadline) {
    await delay(100);
    times = await delivered();
  }
  const { waiting } = await readRow<{ waiting: number }>(
    session,
    `SELECT count(*)::int AS waiting FROM delivery WHERE state = 'pending' AND url LIKE 'http://${SILENT}:%'`,
  );
  return {
    "deliveries/s": times.length / seconds,
    ...percentiles("delivery", times),
    "main (% of a core)": share,
    "not delivered in 10 s": count * HOSTS - times.length,
    "waiting for the silent host": waiting,
  };
}
