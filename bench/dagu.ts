/** Measures dagu's runs of `true` over REST, where there is a dagu on this machine. */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { until } from "../scripts/reliability/campaign.ts";
import type { Bench, Figures, Side } from "./benchmark.ts";
import { type ApiClient, createApiClient, inLanes, timed } from "./http-client.ts";
import { percentiles } from "./machine.ts";

const WHERE_TO_GET =
  "dagu was left out: set DAGU to its program, or put it on the PATH. It is in the npm package @dagu-org/dagu-linux-x64.";
const DAG = 'steps:\n  - name: ring\n    command: "true"\n';
const POLL_MS = 10;
const START_MS = 20_000;
/** A run that has not ended after this time (ms) counts as failed. */
const RUN_MS = 10_000;
/** dagu's numbers for the states of a run: 4 succeeded; 1 runs, 5 is queued, 0 has not begun. */
const [SUCCEEDED, UNFINISHED] = [4, [0, 1, 5]];

/** One side for each number of runs in flight; none, and a note, without dagu. */
export async function daguSides(bench: Bench, inFlight: readonly number[]): Promise<Side[]> {
  const program = process.env["DAGU"] || "dagu";
  if (spawnSync(program, ["version"]).error !== undefined) {
    bench.note(WHERE_TO_GET);
    return [];
  }
  const api = await startDagu(bench, program);
  return inFlight.map((lanes) => ({
    name: `dagu, ${lanes} in flight`,
    measure: (seconds) => runLoop(api, lanes, seconds),
  }));
}

async function startDagu({ folder, stack }: Bench, program: string): Promise<ApiClient> {
  const home = path.join(folder, "dagu");
  const dags = path.join(home, "dags");
  await mkdir(dags, { recursive: true });
  await writeFile(path.join(dags, "bell.yaml"), DAG);
  const port = await freePort();
  const server = spawn(program, ["server", "--dags", dags, "--port", `${port}`], {
    stdio: "ignore",
    // A variable, not a flag: the process of each run must know it too.
    env: { ...process.env, DAGU_HOME: home },
  });
  stack.defer(async () => {
    if (server.exitCode !== null || !server.kill("SIGKILL")) return;
    await once(server, "exit");
  });
  const api = createApiClient(`http://127.0.0.1:${port}/api/v2`, "");
  stack.defer(() => api.close());
  await until("dagu answers", START_MS, () =>
    api.call("GET", "/dags").then(
      ({ status }) => (status === 200 ? true : undefined),
      () => undefined,
    ),
  );
  return api;
}

/** Its API has no call that waits for the end of a run, so the loop asks every 10 ms. */
async function runLoop(api: ApiClient, lanes: number, seconds: number): Promise<Figures> {
  const ack: number[] = [];
  let failed = 0;
  const took = await inLanes(lanes, seconds, async () => {
    const start = () => api.json<{ dagRunId: string }>("POST", "/dags/bell/start", {});
    const { dagRunId } = await timed(ack, start);
    const deadline = performance.now() + RUN_MS;
    while (performance.now() < deadline) {
      const { status, text } = await api.call("GET", `/dag-runs/bell/${dagRunId}`);
      // 404 for a moment: the run is a process that has not written anything yet.
      const state = status === 200 ? Number(JSON.parse(text).dagRunDetails.status) : 0;
      if (!UNFINISHED.includes(state)) {
        if (state !== SUCCEEDED) failed += 1;
        return;
      }
      await delay(POLL_MS);
    }
    failed += 1;
  });
  return { "runs/s": ack.length / took, ...percentiles("ack", ack), "failed runs": failed };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}
