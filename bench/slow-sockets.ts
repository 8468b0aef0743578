/** Measures how long a client waits while hundreds of slow sockets occupy a service; see docs/reliability.md. */
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { Agent, type IncomingMessage, request } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { startProcess } from "../test/support/service-process.ts";
import { type Stage, slowSocket } from "../test/support/slow-socket.ts";

const SOCKETS = Number(process.argv[2] ?? 500);
const SECONDS = Number(process.argv[3] ?? 30);
const BYTE_EVERY_MS = 5_000;
const CALL_EVERY_MS = 20;
/** The limit for the client's 99th percentile, in ms. */
const P99_LIMIT_MS = 250;
const STAGES: readonly Stage[] = ["nothing", "head", "body"];

interface Call {
  ms: number;
  /** 0 if there was no response. */
  status: number;
}

const folder = await mkdtemp(path.join(tmpdir(), "carillon-slow-"));
try {
  await using service = await startProcess({ DATA_DIR: path.join(folder, "data"), JOBS_DIR: folder });
  const token = (await readFile(path.join(folder, "data", "admin-token"), "utf8")).trim();
  await service.client.putJob("bell", { command: ["true"] });
  report("alone", await callFor(SECONDS, service.url, token));

  const over = new AbortController();
  const port = Number(new URL(service.url).port);
  const attack = Array.from({ length: SOCKETS }, (_, index) =>
    holdOn(port, STAGES[index % STAGES.length] ?? "nothing", over.signal),
  );
  const calls = await callFor(SECONDS, service.url, token);
  over.abort();
  const connections = (await Promise.all(attack)).reduce((sum, count) => sum + count, 0);
  console.log(`${SOCKETS} slow sockets, made again when they were cut: ${connections} connections`);
  const p99 = report("beside them", calls);
  if (p99 >= P99_LIMIT_MS || calls.some(({ status }) => status < 200 || status >= 300)) process.exitCode = 1;
} finally {
  await rm(folder, { recursive: true, force: true });
}

/** Keeps one slow socket open at a time until the signal aborts. Returns how many it opened. */
async function holdOn(port: number, stage: Stage, over: AbortSignal): Promise<number> {
  let count = 0;
  while (!over.aborted) {
    const socket = await slowSocket(port, stage).catch(() => undefined);
    if (socket === undefined) continue;
    count += 1;
    const drip = setInterval(
      () => stage !== "nothing" && socket.writable && socket.write("x"),
      BYTE_EVERY_MS,
    );
    const end = () => socket.destroy();
    over.addEventListener("abort", end);
    // Not events.once: it rejects when the connection is reset.
    if (!socket.closed) await new Promise((closed) => socket.once("close", closed));
    over.removeEventListener("abort", end);
    clearInterval(drip);
  }
  return count;
}

/** Calls the API for some seconds, each time on a new connection. Every tenth call triggers a run, the others list jobs. */
async function callFor(seconds: number, url: string, token: string): Promise<Call[]> {
  const calls: Promise<Call>[] = [];
  const end = performance.now() + seconds * 1_000;
  while (performance.now() < end) {
    const triggers = calls.length % 10 === 0;
    const call = triggers ? ["POST", `${url}/api/v1/jobs/bell/trigger`] : ["GET", `${url}/api/v1/jobs`];
    calls.push(timed(call as [string, string], token));
    await delay(CALL_EVERY_MS);
  }
  return Promise.all(calls);
}

async function timed([method, url]: [method: string, url: string], token: string): Promise<Call> {
  const start = performance.now();
  const headers = { authorization: `Bearer ${token}` };
  const sent = request(url, { method, headers, agent: new Agent() });
  sent.end();
  try {
    const [answer] = (await once(sent, "response")) as [IncomingMessage];
    answer.resume();
    await once(answer, "end");
    return { ms: performance.now() - start, status: answer.statusCode ?? 0 };
  } catch {
    return { ms: performance.now() - start, status: 0 };
  }
}

/** Prints how long the calls took. Returns the 99th percentile in ms. */
function report(title: string, calls: readonly Call[]): number {
  const times = calls.map(({ ms }) => ms).toSorted((a, b) => a - b);
  const at = (part: number) => times[Math.min(times.length - 1, Math.floor(times.length * part))] ?? 0;
  const failed = calls.filter(({ status }) => status < 200 || status >= 300).length;
  const figures = [0.5, 0.95, 0.99, 1].map((part) => `${at(part).toFixed(1)} ms`);
  console.log(`${title}: ${calls.length} calls, ${failed} failed; p50, p95, p99, max: ${figures.join(", ")}`);
  return at(0.99);
}
