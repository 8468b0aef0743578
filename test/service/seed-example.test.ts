/** The example that the users started from, with real processes and real receivers: events, bodies, chain and history. */
import { afterAll, beforeAll, expect, it } from "vitest";
import type { EventBody } from "../../src/deliveries/rules/payloads.ts";
import type { Changes, Run } from "../support/api-client.ts";
import { type Sink, startSink } from "../support/http-sink.ts";
import { startTestService, type TestService } from "../support/test-service.ts";

let service: TestService;
let sink: Sink;
let coffee: Run;

/** `this fails` prints that sh does not know it, and ends with 127. */
const LOG = /^\/bin\/sh: .*this: not found\n$/;

beforeAll(async () => {
  sink = await startSink();
  service = await startTestService();
  const document = `
on_success:
  notify_webhook:
    - ${sink.url("/all")}
jobs:
  coffee:
    command: this fails # this will create on_error event
    retries: 3
    retry: { delay: 10ms }
    on_error:
      notify_webhook:
        - ${sink.url("/error")}
    on_retries_exhausted:
      trigger_job:
        - cleanup_job
      notify_webhook:
        - ${sink.url("/critical")}
      notify_slack_webhook:
        - ${sink.url("/slack")}
      notify_discord_webhook:
        - ${sink.url("/discord")}
  beans:
    command: echo grind
  cleanup_job:
    command: [echo, cleaning]
`;
  const saved = await service.client.call<Changes>("PUT", "/schedules/kitchen", document);
  expect(saved).toMatchObject({ status: 200, body: { created: ["coffee", "beans", "cleanup_job"] } });
  coffee = await service.client.trigger("coffee", { triggered_by: "CoffeeRequestButton" }, "30s");
}, 60_000);

afterAll(async () => {
  await service?.[Symbol.asyncDispose]();
  await sink?.[Symbol.asyncDispose]();
});

/** The bodies that a path of the sink has got, in the order of the attempts. */
async function bodies<T = EventBody>(path: string, count: number): Promise<T[]> {
  const got = await Promise.all(Array.from({ length: count }, () => sink.next((r) => r.path === path)));
  return got.map((request) => JSON.parse(request.body) as T);
}

it("fires on_error after each of the four attempts, with the exact body", async () => {
  const got = await bodies<EventBody & { delivery_id: string }>("/error", 4);
  got.sort((a, b) => a.retry_attempt - b.retry_attempt);
  expect(got).toEqual(
    [0, 1, 2, 3].map((retry_attempt) => ({
      status: 127,
      log: expect.stringMatching(LOG),
      name: "coffee",
      triggered_at: coffee.triggered_at,
      triggered_by: "CoffeeRequestButton",
      triggered: [],
      retry_attempt,
      retries_exhausted: false,
      event: "on_error",
      run_id: coffee.id,
      log_truncated: false,
      delivery_id: expect.any(String),
    })),
  );
  expect(new Set(got.map((body) => body.delivery_id)).size).toBe(4);
});

it("fires on_retries_exhausted once, naming the job that it triggers", async () => {
  const [body] = await bodies("/critical", 1);
  expect(body).toMatchObject({
    status: 127,
    name: "coffee",
    triggered: ["cleanup_job"],
    retry_attempt: 3,
    retries_exhausted: true,
    event: "on_retries_exhausted",
  });
});

it("sends Slack and Discord their own bodies", async () => {
  const [slack] = await bodies<object>("/slack", 1);
  const [discord] = await bodies<object>("/discord", 1);
  const text = `coffee (exitcode 127):\n${coffee.log}`;
  expect(coffee.log).toMatch(LOG);
  expect(slack).toEqual({ text });
  expect(discord).toEqual({ content: text, allowed_mentions: { parse: [] } });
});

it("runs the cleanup with the context of its parent, in its notification and over REST", async () => {
  const [child] = await service.client.runs("job=cleanup_job");
  const cleanup = await service.client.run(child?.id ?? "", "30s");
  expect(cleanup).toMatchObject({
    state: "succeeded",
    status: 0,
    log: "cleaning\n",
    triggered_by: "retries_exhausted[coffee]",
    trigger: { type: "job", run_id: coffee.id, event: "on_retries_exhausted" },
    triggered_by_job_run: {
      id: coffee.id,
      name: "coffee",
      status: 127,
      log: coffee.log,
      triggered_at: coffee.triggered_at,
      triggered_by: "CoffeeRequestButton",
      triggered: ["cleanup_job"],
      retry_attempt: 3,
      retries_exhausted: true,
    },
  });
  const notified = JSON.parse((await sink.next((r) => r.path === "/all")).body) as EventBody;
  expect(notified).toMatchObject({
    name: "cleanup_job",
    status: 0,
    log: "cleaning\n",
    triggered_by_job_run: { name: "coffee", retry_attempt: 3, triggered_by: "CoffeeRequestButton" },
  });
  expect(child?.triggered_by_job_run).toMatchObject({ id: coffee.id, name: "coffee", status: 127 });
});

it("applies the schedule's on_success to every job in it", async () => {
  const beans = await service.client.trigger("beans", undefined, "30s");
  expect(beans).toMatchObject({
    state: "succeeded",
    log: "grind\n",
    triggered_by: "api",
    schedule: "kitchen",
  });
  const body = JSON.parse((await sink.next((r) => r.path === "/all")).body) as EventBody;
  expect(body).toMatchObject({
    name: "beans",
    status: 0,
    log: "grind\n",
    triggered_by: "api",
    event: "on_success",
  });
  expect(body).not.toHaveProperty("triggered_by_job_run");
});

it("shows attempts, deliveries with their tries, and which run triggered which in the history", async () => {
  const run = await service.client.run(coffee.id);
  expect(run).toMatchObject({
    state: "failed",
    status: 127,
    retry_attempt: 3,
    retries: 3,
    retries_exhausted: true,
    triggered: ["cleanup_job"],
    triggered_runs: [{ name: "cleanup_job", event: "on_retries_exhausted" }],
  });
  expect(run.attempts.map(({ attempt, state, status }) => ({ attempt, state, status }))).toEqual(
    [0, 1, 2, 3].map((attempt) => ({ attempt, state: "failed", status: 127 })),
  );
  const fired = run.deliveries.map(({ event, attempt, action }) => `${event} ${attempt} ${action}`);
  expect(fired.toSorted()).toEqual([
    "on_error 0 notify_webhook",
    "on_error 1 notify_webhook",
    "on_error 2 notify_webhook",
    "on_error 3 notify_webhook",
    "on_retries_exhausted 3 notify_discord_webhook",
    "on_retries_exhausted 3 notify_slack_webhook",
    "on_retries_exhausted 3 notify_webhook",
  ]);
  expect(run.deliveries.every((one) => one.tries.every((t) => t.status === 200))).toBe(true);
  expect(sink.received.filter((r) => r.path === "/error")).toHaveLength(4);
  expect(sink.received.filter((r) => r.path === "/critical")).toHaveLength(1);
});
