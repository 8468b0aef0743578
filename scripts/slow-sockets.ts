/** Measures how long a real client waits while hundreds of slow sockets hold on to a service; see docs/reliability.md. */
import { mkdtemp, rm } from "node:fs/promises";
import { request } from "node:http";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { startProcess } from "../test/support/process.ts";
import { type Stage, slowSocket } from "../test/support/slow-socket.ts";

const SOCKETS = Number(process.argv[2] ?? 500);
const SECONDS = Number(process.argv[3] ?? 30);
const BYTE_EVERY_MS = 5_000;
const CALL_EVERY_MS = 20;
/** What the 99th percentile of the real client stays under, in ms. */
const P99_LIMIT_MS = 250;
const STAGES: readonly Stage[] = ["nothing", "head", "body"];

const folder = await mkdtemp(join(tmpdir(), "carillon-slow-"));
let failures: string[];
try {
  await using service = await startProcess({ DATA_DIR: join(folder, "data"), JOBS_DIR: folder });
  await service.client.putJob("bell", { command: ["true"] });
  await callFor(2_000, service.url, service.client.token);
  report("alone", await callFor(SECONDS * 1_000, service.url, service.client.token));
  const attack = startAttack(Number(new URL(service.url).port));
  const calls = await callFor(SECONDS * 1_000, service.url, service.client.token);
  console.log(`${SOCKETS} slow sockets: ${await attack.stop()} connections made, again whenever one was cut.`);
  failures = report("beside them", calls);
} finally {
  await rm(folder, { recursive: true, force: true });
}
for (const failure of failures) console.error(failure);
process.exitCode = failures.length === 0 ? 0 : 1;

interface Call {
  what: string;
  ms: number;
  /** 0: no answer. */
  status: number;
}

/** A client with two habits: it reads on new connections, and triggers a run on one that it keeps... */
async function callFor(ms: number, url: string, token: string): Promise<Call[]> {
  const calls: Promise<Call>[] = [];
  const end = performance.now() + ms;
  while (performance.now() < end) {
    const isRead = calls.length % 10 !== 0;
    calls.push(isRead ? call("GET", `${url}/api/v1/jobs`, token) : call("POST", `${url}/api/v1/jobs/bell/trigger`, token));
    await delay(CALL_EVERY_MS);
  }
  return Promise.all(calls);
}
