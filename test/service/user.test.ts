/** `user`: whom a command runs as, where the service may. */
import { chmod } from "node:fs/promises";
import { afterAll, beforeAll, expect, it } from "vitest";
import { isAlive } from "../support/test-runner.ts";
import { startTestService, type TestService } from "../support/test-service.ts";

let service: TestService;
beforeAll(async () => {
  service = await startTestService();
  await chmod(service.jobsDir, 0o755);
}, 30_000);
afterAll(() => service?.[Symbol.asyncDispose]());

const AS_NOBODY =
  'id -un; id -G | wc -w; echo "$HOME $USER $LOGNAME"; echo err > /dev/stderr; cat /proc/$PPID/environ';
const isRoot = process.getuid?.() === 0;

it("runs a command as another account, with only that account's group and environment", async (test) => {
  if (!isRoot) test.skip("only root may run commands as somebody else");
  await service.client.putJob("nobody", { command: AS_NOBODY, user: "nobody" });
  const run = await service.client.trigger("nobody", {}, "20s");
  expect(run.log).toMatch(/^nobody\n1\n\/\S* nobody nobody\nerr\n.*Permission denied/);
});

it("prefers the job's own env, and kills what the command left behind", async (test) => {
  if (!isRoot) test.skip("only root may run commands as somebody else");
  const command = "echo $HOME; setsid sleep 600 & echo $!";
  await service.client.putJob("leaves", { command, user: "nobody", env: { HOME: "/tmp" } });
  const run = await service.client.trigger("leaves", {}, "20s");
  const [home, pid] = run.log.split("\n");
  expect(home).toBe("/tmp");
  expect(isAlive(Number(pid))).toBe(false);
});

it("does not start a command for an unknown account", async () => {
  await service.client.putJob("ghost", { command: "true", user: "ghost" });
  const run = await service.client.trigger("ghost", {}, "20s");
  expect(run).toMatchObject({ state: "failed", status: 126, attempts: [{ state: "start_failed" }] });
  expect(run.log).toContain("has no account ghost");
});

it.each(["root;id", "", "UPPER", 0])("refuses %j as the name of an account", async (user) => {
  const answer = await service.client.call("PUT", "/jobs/odd", { command: "true", user });
  expect(answer).toMatchObject({ status: 422, body: { errors: [{ path: "user" }] } });
});
