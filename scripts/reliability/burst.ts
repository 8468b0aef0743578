/** Opens many connections at once, each with one trigger: every trigger must be answered, and have its run. */
import { connect } from "node:net";
import { execute } from "../../test/support/postgres-server.ts";
import type { ServiceProcess } from "../../test/support/service-process.ts";
import { type Campaign, createChecks, type Findings, startNode, type World } from "./campaign.ts";

/** As many as a process accepts. */
const CONNECTIONS = 1_000;

export const burst: Campaign = {
  title: `${CONNECTIONS} connections at once, each with one trigger, three times`,
  run: (world) => burstOnce(world, { connections: CONNECTIONS }),
};

export async function burstOnce(world: World, { connections }: { connections: number }): Promise<Findings> {
  const checks = createChecks();
  await using node = await startNode(world, "node");
  const startedAt = performance.now();
  let cut = 0;
  // A node that works on the runs of one burst is slower to read the requests of the next.
  for (const job of ["first", "second", "third"]) {
    await node.client.putJob(job, { command: "true" });
    const send = () => call(node, job);
    const results = await Promise.all(Array.from({ length: connections }, send));
    cut += results.filter((result) => result !== "202").length;
  }
  const tookMs = performance.now() - startedAt;
  const runs = (await execute(world.connectionString, "SELECT FROM run")).length;
  checks.that(cut === 0, `${cut} connections were not answered with 202`);
  checks.that(runs === 3 * connections, `${runs} runs were made`);
  return { broken: checks.broken, figures: { "connections cut": cut, "three bursts answered (ms)": tookMs } };
}

/** Triggers a job on a new connection, and returns the status or the code of the error. */
function call({ url, token }: ServiceProcess, job: string): Promise<string> {
  const { hostname, port, host } = new URL(url);
  const request = [
    `POST /api/v1/jobs/${job}/trigger HTTP/1.1`,
    `Host: ${host}`,
    `Authorization: Bearer ${token}`,
    "Content-Length: 0",
    "Connection: close",
    "\r\n",
  ].join("\r\n");
  return new Promise((resolve) => {
    let answer = "";
    const socket = connect(Number(port), hostname, () => socket.write(request));
    socket.setEncoding("utf8").on("data", (text) => {
      answer += text;
    });
    socket.on("error", (error: NodeJS.ErrnoException) => resolve(String(error.code)));
    socket.on("close", () => resolve(answer.slice("HTTP/1.1 ".length, "HTTP/1.1 202".length) || "closed"));
  });
}
