/** The chain of a run: JSON, drawn and Mermaid, from whichever of its runs it is asked for. */
import supertest from "supertest";
import { v7 as uuidv7 } from "uuid";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { RunTree, TreeNode } from "../../../src/api/schemas/run.ts";
import { insertRuns } from "../../support/run-rows.ts";
import { startTestService, type TestService } from "../../support/test-service.ts";

let service: TestService;
beforeAll(async () => {
  service = await startTestService();
}, 30_000);
afterAll(() => service?.[Symbol.asyncDispose]());

const call = (method: "get" | "post", path: string) =>
  supertest(service.url)[method](`/api/v1${path}`).set("authorization", `Bearer ${service.token}`);

/** The runs of a tree by job, once `count` of them have ended. */
async function endedTree(id: string, count: number): Promise<Map<string, TreeNode>> {
  const flat = (node: TreeNode): TreeNode[] => [node, ...node.children.flatMap(flat)];
  const read = async () => flat((await call("get", `/runs/${id}/tree`).expect(200)).body as RunTree);
  const ended = async () => (await read()).filter((node) => node.duration_ms !== null).length;
  await expect.poll(ended, { timeout: 20_000 }).toBe(count);
  return new Map((await read()).map((node) => [node.name, node]));
}

it("shows the whole chain, with the run that was asked for marked", async () => {
  const { client } = service;
  await client.putJob("leaf", { command: "exit 9" });
  await client.putJob('say "hi" <b>', { command: "true", on_success: { trigger_job: ["leaf"] } });
  await client.putJob("side", { command: "true" });
  await client.putJob("root", {
    command: "exit 3",
    retries: 1,
    retry: { delay: "1ms" },
    on_retries_exhausted: { trigger_job: ['say "hi" <b>', "side"] },
  });
  const { id } = await client.trigger("root");
  const nodes = await endedTree(id, 4);
  const leaf = String(nodes.get("leaf")?.id);

  const { body } = await call("get", `/runs/${leaf}/tree`).expect(200);
  const event = "on_retries_exhausted";
  expect(body).toMatchObject({
    id,
    name: "root",
    state: "failed",
    status: 3,
    event: null,
    triggered_at: expect.any(String),
    duration_ms: expect.any(Number),
    self: false,
    truncated: false,
    children: [
      {
        name: 'say "hi" <b>',
        event,
        self: false,
        children: [{ id: leaf, state: "failed", status: 9, event: "on_success", self: true, children: [] }],
      },
      { name: "side", event, self: false, children: [] },
    ],
  });

  const drawn = await call("get", `/runs/${leaf}/tree`).set("accept", "text/plain").expect(200);
  expect(drawn.headers["content-type"]).toBe("text/plain; charset=utf-8");
  expect(drawn.text.replaceAll(/ {2}[\dms]+s(?= |$)/gm, "  TIME").split("\n")).toEqual([
    "root  failed  exit 3  TIME",
    `├── say "hi" <b>  succeeded  exit 0  TIME  ${event}`,
    "│   └── leaf  failed  exit 9  TIME  on_success  (this run)",
    `└── side  succeeded  exit 0  TIME  ${event}`,
    "",
  ]);

  const mermaid = await call("get", `/runs/${leaf}/tree`).set("accept", "text/vnd.mermaid").buffer(true);
  expect(mermaid.headers["content-type"]).toBe("text/vnd.mermaid; charset=utf-8");
  expect(mermaid.text.replaceAll(/, [\dms]+s"/g, ', TIME"').split("\n")).toEqual([
    "flowchart TD",
    '  r0["root<br>failed, exit 3, TIME"]',
    '  r1["say #34;hi#34; #60;b#62;<br>succeeded, exit 0, TIME"]',
    `  r0 -->|${event}| r1`,
    '  r2["leaf<br>failed, exit 9, TIME"]',
    "  r1 -->|on_success| r2",
    "  style r2 stroke-width:4px",
    '  r3["side<br>succeeded, exit 0, TIME"]',
    `  r0 -->|${event}| r3`,
    "",
  ]);
});

it("shows at most 1,000 runs, those that lead to the run among them, and says that there are more", async () => {
  const { client, prisma } = service;
  await client.putJob("wide", { command: "true" });
  const ended = { state: "succeeded", status: 0 } as const;
  const [root] = await insertRuns(prisma, "wide", 1, () => ended);
  const attempt = { id: uuidv7(), runId: String(root), number: 0, worker: "w", startedAt: new Date() };
  await prisma.attempt.create({ data: attempt });
  const event = { id: uuidv7(), runId: String(root), attemptId: attempt.id, attempt: 0, body: "{}" };
  await prisma.runEvent.create({ data: { ...event, event: "on_success", createdAt: new Date() } });
  const children = await insertRuns(prisma, "wide", 1_100, () => ({
    ...ended,
    trigger: "job",
    parentEventId: event.id,
    depth: 2,
  }));
  const last = String(children.at(-1));
  const { body } = await call("get", `/runs/${last}/tree`).expect(200);
  const shown = (body as RunTree).children;
  expect(body).toMatchObject({ id: root, truncated: true });
  expect(shown).toHaveLength(999);
  expect(shown.map(({ id }) => id)).toEqual([...children.slice(0, 998), last]);
  expect(shown.filter(({ self }) => self).map(({ id }) => id)).toEqual([last]);
  const drawn = await call("get", `/runs/${last}/tree`).set("accept", "text/plain");
  expect(drawn.text.trim().split("\n")).toHaveLength(1_001);
  expect(drawn.text).toMatch(/more runs are not shown/);
});

it("is a single run for a run without parent and children, and 404 for an unknown run", async () => {
  await service.client.putJob("alone", { command: "true" });
  const { id } = await service.client.trigger("alone", undefined, "30s");
  const { body } = await call("get", `/runs/${id}/tree`).expect(200);
  expect(body).toMatchObject({ id, self: true, children: [], truncated: false });
  const nobody = "01890000-0000-7000-8000-000000000000";
  expect((await call("get", `/runs/${nobody}/tree`).expect(404)).body.code).toBe("run_not_found");
});
