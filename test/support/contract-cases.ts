/** A call for each answer that the OpenAPI document promises, but for the answers that all calls share. */
import { insertRuns } from "./run-rows.ts";
import type { TestService } from "./test-service.ts";

interface CaseDetails {
  body?: unknown;
  /** Media type of the body; JSON text is YAML too. */
  type?: "application/json" | "application/yaml";
  accept?: string;
  headers?: Record<string, string>;
}

/** The call with its path below /api/v1, where `$done` is an id of `prepareRuns`, and the status it is answered with. */
export type Case = readonly [call: string, status: number, details?: CaseDetails];

const YAML = { type: "application/yaml" } as const;
const TEXT = { accept: "text/plain" };
const NOBODY = "01890000-0000-7000-8000-000000000000";
const COMMAND = { command: "echo hi" };
const UNKNOWN_FIELD = { command: "true", comand: "true" };

const JOBS: readonly Case[] = [
  ["GET /jobs?limit=1", 200],
  ["GET /jobs?limit=0", 400],
  ["POST /jobs", 201, { body: { name: "saved", ...COMMAND } }],
  ["POST /jobs", 201, { body: { name: "saved as YAML", ...COMMAND }, ...YAML }],
  ["POST /jobs?run=true&wait=30s", 200, { body: { name: "ran", ...COMMAND } }],
  ["POST /jobs?run=true&wait=30s", 200, { body: { name: "printed", ...COMMAND }, ...TEXT }],
  ["POST /jobs?run=true", 202, { body: { name: "begun", command: "sleep 60" } }],
  ["POST /jobs?run=true", 202, { body: { name: "begun, as text", command: "sleep 60" }, ...TEXT }],
  ["POST /jobs", 409, { body: { name: "coffee", ...COMMAND } }],
  ["POST /jobs", 422, { body: { name: "refused", ...UNKNOWN_FIELD } }],
  ["POST /jobs?run=true&wait=30s&fail=true", 424, { body: { name: "failed", command: "exit 3" } }],
  ["GET /jobs/coffee", 200],
  ["GET /jobs/%20", 400],
  ["GET /jobs/ghost", 404],
  ["PUT /jobs/put", 201, { body: COMMAND }],
  ["PUT /jobs/put", 200, { body: COMMAND, ...YAML }],
  ["PUT /jobs/put?dry_run=true", 200, { body: { ...COMMAND, cron: "@daily" } }],
  ["PUT /jobs/put", 422, { body: UNKNOWN_FIELD }],
  ["PATCH /jobs/coffee", 200, { body: { description: "black" } }],
  ["PATCH /jobs/coffee?dry_run=true", 200, { body: { description: null }, ...YAML }],
  ["PATCH /jobs/ghost", 404, { body: {} }],
  ["PATCH /jobs/coffee", 422, { body: UNKNOWN_FIELD }],
  ["DELETE /jobs/doomed", 204],
  ["DELETE /jobs/ghost", 404],
  ["DELETE /jobs/coffee", 409],
  ["GET /jobs/coffee/next?count=2", 200],
  ["GET /jobs/coffee/next?count=0", 400],
  ["GET /jobs/ghost/next", 404],
  ["GET /jobs/coffee/revisions", 200],
  ["GET /jobs/coffee/revisions?limit=0", 400],
  ["GET /jobs/ghost/revisions", 404],
  ["GET /jobs/coffee/revisions/1", 200],
  ["GET /jobs/coffee/revisions/0", 400],
  ["GET /jobs/coffee/revisions/99", 404],
  ["POST /jobs/validate", 200, { body: { name: "a", ...COMMAND, cron: "@daily" } }],
  ["POST /jobs/validate", 200, { body: UNKNOWN_FIELD, ...YAML }],
  ["POST /jobs/validate", 422, { body: [] }],
  ["POST /jobs/coffee/pause", 200, { body: { by: "ann", reason: "descaling" } }],
  ["POST /jobs/coffee/pause", 200, { body: { by: "bob" }, ...YAML }],
  ["POST /jobs/ghost/pause", 404],
  ["POST /jobs/coffee/pause", 422, { body: { by: "" } }],
  ["POST /jobs/coffee/resume", 200],
  ["POST /jobs/ghost/resume", 404],
];

const RUNS: readonly Case[] = [
  ["POST /jobs/coffee/trigger?wait=30s", 200, { body: { triggered_by: "ann", env: { CUP: "large" } } }],
  ["POST /jobs/coffee/trigger?wait=30s", 200, { body: { events: false }, ...YAML, ...TEXT }],
  ["POST /jobs/slow/trigger", 202, { headers: { "idempotency-key": "slow" } }],
  ["POST /jobs/slow/trigger", 202, TEXT],
  ["POST /jobs/coffee/trigger?fail=true", 400],
  ["POST /jobs/ghost/trigger", 404],
  ["POST /jobs/off/trigger", 409],
  ["POST /jobs/coffee/trigger", 422, { body: { env: { "no name": "" } } }],
  ["POST /jobs/coffee/trigger", 422, { headers: { "idempotency-key": "slow" } }],
  ["POST /jobs/fails/trigger?wait=30s&fail=true", 424],
  ["POST /jobs/full/trigger", 429],
  ["POST /runs/$done/rerun?wait=30s", 200],
  ["POST /runs/$done/rerun?wait=30s", 200, TEXT],
  ["POST /runs/$waiting/rerun", 202],
  ["POST /runs/$waiting/rerun", 202, TEXT],
  [`POST /runs/${NOBODY}/rerun`, 404],
  ["POST /runs/$off/rerun", 409],
  ["POST /runs/$failed/rerun?wait=30s&fail=true", 424],
  ["POST /runs/$full/rerun", 429],
  ["GET /runs?since=1d&state=succeeded&state=failed", 200],
  ["GET /runs?state=sleeping", 400],
  ["GET /runs?job=ghost", 404],
  ["GET /jobs/coffee/runs?status=0", 200],
  ["GET /jobs/coffee/runs?status=256", 400],
  ["GET /jobs/ghost/runs", 404],
  ["GET /runs/$child", 200],
  ["GET /runs/$failed", 200, TEXT],
  ["GET /runs/1", 400],
  [`GET /runs/${NOBODY}`, 404],
  ["GET /runs/$failed?wait=1s&fail=true", 424],
  ["POST /runs/$waiting/cancel", 200],
  ["POST /runs/$waiting/cancel", 200, TEXT],
  ["POST /runs/$running/cancel", 202],
  ["POST /runs/$endless/cancel", 202, TEXT],
  ["POST /runs/$running/cancel?wait=30s", 200],
  ["POST /runs/$running/cancel?wait=soon", 400],
  [`POST /runs/${NOBODY}/cancel`, 404],
  ["POST /runs/$done/cancel", 409],
  ["GET /runs/$done/log?attempt=all", 200],
  ["GET /runs/$done/log?attempt=-1", 400],
  ["GET /runs/$done/log?attempt=7", 404],
  ["GET /runs/$done/log?follow=true&tail=1", 200],
  ["GET /runs/$done/log", 200, { accept: "text/event-stream" }],
  ["GET /runs/$done/log", 206, { headers: { range: "bytes=0-1" } }],
  ["GET /runs/$done/log", 416, { headers: { range: "bytes=999-" } }],
  ["GET /runs/$child/tree", 200],
  ["GET /runs/$child/tree", 200, TEXT],
  ["GET /runs/$child/tree", 200, { accept: "text/vnd.mermaid" }],
  ["GET /runs/1/tree", 400],
  [`GET /runs/${NOBODY}/tree`, 404],
];

const OTHERS: readonly Case[] = [
  ["GET /deliveries?job=coffee", 200],
  ["GET /deliveries?cursor=x", 400],
  [`GET /deliveries?run=${NOBODY}`, 404],
  ["GET /deliveries/$delivery", 200],
  ["GET /deliveries/1", 400],
  [`GET /deliveries/${NOBODY}`, 404],
  ["POST /deliveries/$delivery/redeliver", 202],
  [`POST /deliveries/${NOBODY}/redeliver`, 404],
  ["GET /schedules", 200],
  ["GET /schedules?cursor=x", 400],
  ["GET /schedules/kitchen", 200],
  ["GET /schedules/%20", 400],
  ["GET /schedules/ghost", 404],
  ["PUT /schedules/put", 200, { body: { tz_location: "Asia/Tokyo", jobs: { tea: COMMAND } } }],
  ["PUT /schedules/put?dry_run=true", 200, { body: { jobs: { tea: COMMAND, cake: COMMAND } }, ...YAML }],
  ["PUT /schedules/put", 409, { body: { jobs: { coffee: COMMAND } } }],
  ["PUT /schedules/put", 422, { body: { jobs: { tea: UNKNOWN_FIELD } } }],
  ["PATCH /schedules/put", 200, { body: { tz_location: null, jobs: { tea: { cron: "@daily" } } } }],
  ["PATCH /schedules/put?dry_run=true", 200, { body: { jobs: { tea: null } }, ...YAML }],
  ["PATCH /schedules/ghost", 404, { body: {} }],
  ["PATCH /schedules/put", 409, { body: { jobs: { coffee: COMMAND } } }],
  ["PATCH /schedules/put", 422, { body: { jobs: { tea: UNKNOWN_FIELD } } }],
  ["DELETE /schedules/put", 204],
  ["DELETE /schedules/ghost", 404],
  ["DELETE /schedules/kitchen", 409],
  ["GET /next?within=2d&limit=3", 200],
  ["GET /next?within=8d", 400],
  ["GET /stats", 200],
  ["GET /stats?since=1d", 400],
];

const TOKENS: readonly Case[] = [
  ["POST /tokens", 201, { body: { name: "reader", scopes: ["read"], expires_in: "90d" } }],
  ["POST /tokens", 201, { body: { name: "button", scopes: ["trigger"], jobs: ["coffee"] }, ...YAML }],
  ["POST /tokens", 409, { body: { name: "reader", scopes: ["read"] } }],
  ["POST /tokens", 422, { body: { name: "refused", scopes: [] } }],
  ["GET /tokens?limit=1", 200],
  ["GET /tokens?cursor=x", 400],
  ["GET /tokens/reader", 200],
  ["GET /tokens/%20", 400],
  ["GET /tokens/ghost", 404],
  ["DELETE /tokens/reader", 204],
  ["DELETE /tokens/ghost", 404],
  ["GET /audit?actor=admin&action=job.save&since=1d", 200],
  ["GET /audit?cursor=x", 400],
];

const SECRETS: readonly Case[] = [
  ["PUT /secrets/shop-key", 409, { body: { value: "correct horse battery staple" } }],
  ["POST /secrets/rotate", 409],
  ["DELETE /secrets/unreadable", 204],
  ["PUT /secrets/shop-key", 201, { body: { value: "correct horse battery staple" } }],
  ["PUT /secrets/shop-key", 200, { body: { value: "another horse" }, ...YAML }],
  ["PUT /secrets/shop-key", 422, { body: { value: "short" } }],
  ["PUT /jobs/buys", 201, { body: { ...COMMAND, env: { KEY: { secret: "shop-key" } } } }],
  ["GET /secrets", 200],
  ["GET /secrets?limit=1", 400],
  ["POST /secrets/rotate", 200],
  ["DELETE /secrets/shop-key", 409],
  ["DELETE /secrets/ghost", 404],
];

const OUTSIDE: readonly Case[] = [
  ["GET /", 200, TEXT],
  ["GET /", 200, { accept: "application/json" }],
  ["GET /healthz", 200],
  ["GET /readyz", 200],
  ["GET /version", 200],
];

/** In this order, on one service. The calls have their full paths. */
export const CASES: readonly Case[] = [
  ...[...JOBS, ...RUNS, ...OTHERS, ...TOKENS, ...SECRETS].map(
    ([call, ...rest]): Case => [call.replace(" ", " /api/v1"), ...rest],
  ),
  ...OUTSIDE,
];

/** Makes the jobs that the cases speak of, runs of them in all states, a delivery and a secret under a lost key; answers the ids. */
export async function prepareRuns({ client, prisma }: TestService): Promise<Record<string, string>> {
  const on_success = { trigger_job: ["cleanup"], notify_webhook: ["http://127.0.0.1:9/"] };
  const one = { command: "sleep 60", concurrency: { limit: 1 } };
  const jobs = { coffee: { ...COMMAND, cron: "@daily", on_success }, cleanup: COMMAND };
  await client.call("PUT", "/schedules/kitchen", { jobs });
  await client.putJob("user", { ...COMMAND, on_error: { trigger_job: ["coffee"] } });
  await client.putJob("fails", { command: "echo no; exit 3" });
  for (const name of ["slow", "endless", "full"]) await client.putJob(name, one);
  for (const name of ["doomed", "off"]) await client.putJob(name, COMMAND);

  const sealed = { keyId: "0badcafe", nonce: new Uint8Array(12), ciphertext: new Uint8Array(32) };
  const times = { createdAt: new Date(), updatedAt: new Date() };
  await prisma.secret.create({ data: { id: NOBODY, name: "unreadable", ...sealed, ...times } });

  const done = await client.trigger("coffee", undefined, "30s");
  const failed = await client.trigger("fails", undefined, "30s");
  const running = await client.trigger("slow");
  const endless = await client.trigger("endless");
  const waiting = await client.trigger("slow");
  const full = await client.trigger("full");
  await insertRuns(prisma, "full", 1_000, () => ({ state: "queued" }));
  const off = await client.trigger("off", undefined, "30s");
  await client.putJob("off", { ...COMMAND, enabled: false });
  const { deliveries, triggered_runs: children } = await client.run(done.id);
  for (const { id } of [running, endless]) {
    while ((await client.run(id)).state !== "running") await client.run(id, "100ms");
  }
  const ids = {
    done,
    failed,
    waiting,
    running,
    endless,
    full,
    off,
    delivery: deliveries[0],
    child: children[0],
  };
  return Object.fromEntries(Object.entries(ids).map(([name, row]) => [name, String(row?.id)]));
}
