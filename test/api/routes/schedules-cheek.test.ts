/** Files made for cheek, with every field that its documentation shows, import as they are. */
import { afterAll, beforeAll, expect, it } from "vitest";
import { caller } from "../../support/authorized-calls.ts";
import { startTestService, type TestService } from "../../support/test-service.ts";

let service: TestService;
beforeAll(async () => {
  service = await startTestService({ ROLES: "api" });
}, 30_000);
afterAll(() => service?.[Symbol.asyncDispose]());

const call = caller(() => service);

const MINIMAL = `
jobs:
  hello:
    command: date
    cron: "* * * * *"
`;

const CONFIGURATION = `
tz_location: Europe/Brussels # a comment
encoding: utf-8
jobs:
  first:
    command: date
    cron: "* * * * *"
    on_success:
      trigger_job: # the next one
        - second
  second:
    command:
      - echo
      - $name
    env:
      name: bean
    encoding: utf-8
  elsewhere:
    command: pwd
    working_directory: ../roastery
  roast:
    command: this fails
    cron: "*/5 * * * *"
    retries: 3
    disable_concurrent_execution: true
    on_error:
      notify_webhook:
        - https://hooks.example.org/error
      notify_slack_webhook:
        - https://hooks.example.org/slack
      notify_discord_webhook:
        - https://hooks.example.org/discord
  old:
    command: roaster.exe
    encoding: windows-1252
`;

const EVENTS = `
on_success:
  notify_webhook:
    - https://hooks.example.org/all
jobs:
  drip:
    command: this fails # an error each time
    cron: "* * * * *"
    retries: 3
    on_error:
      notify_webhook:
        - https://hooks.example.org/drip
    on_retries_exhausted:
      trigger_job:
        - mop
      notify_webhook:
        - https://hooks.example.org/critical
  grind:
    command: echo grinding
    cron: "* * * * *"
  mop:
    command: echo mopping
`;

const RETENTION = `
tz_location: UTC
log_retention_period: 30 days
jobs:
  usual:
    command: echo "kept as long as the others"
    cron: "@daily"
  week: { command: long-task, cron: "0 * * * *", log_retention_period: 7 days }
  weeks: { command: long-task, log_retention_period: 2 weeks }
  month: { command: long-task, log_retention_period: 1 month }
  hours: { command: long-task, log_retention_period: 24 hours }
  minutes: { command: long-task, log_retention_period: 1 hour and 30 minutes }
`;

const put = async (name: string, yaml: string) => {
  const request = call("put", `/schedules/${name}`).set("content-type", "application/yaml");
  return (await request.send(yaml).expect(200)).body;
};
const read = async (name: string) => (await call("get", `/schedules/${name}`).expect(200)).body;

it("imports the smallest file", async () => {
  expect(await put("minimal", MINIMAL)).toMatchObject({ created: ["hello"], warnings: [] });
});

it("imports a file with all settings of jobs", async () => {
  const { created, warnings } = await put("configuration", CONFIGURATION);
  expect(created).toEqual(["first", "second", "elsewhere", "roast", "old"]);
  expect(warnings).toEqual([{ path: "jobs.old.encoding", message: expect.stringContaining("UTF-8") }]);
  expect(await read("configuration")).toMatchObject({
    tz_location: "Europe/Brussels",
    jobs: {
      first: { command: "date", timezone: "Europe/Brussels", on_success: { trigger_job: ["second"] } },
      second: { command: ["echo", "$name"], env: { name: "bean" } },
      elsewhere: { working_directory: "../roastery" },
      roast: {
        retries: 3,
        retry: { delay: "5s", backoff: "constant" },
        concurrency: { limit: 1, policy: "queue" },
        on_error: {
          notify_webhook: ["https://hooks.example.org/error"],
          notify_slack_webhook: ["https://hooks.example.org/slack"],
          notify_discord_webhook: ["https://hooks.example.org/discord"],
        },
      },
    },
  });
});

it("imports a file with events at both levels", async () => {
  expect(await put("events", EVENTS)).toMatchObject({ created: ["drip", "grind", "mop"], warnings: [] });
  expect(await read("events")).toMatchObject({
    on_success: { notify_webhook: ["https://hooks.example.org/all"] },
    jobs: { drip: { on_retries_exhausted: { trigger_job: ["mop"] } } },
  });
});

it("imports a file with retention at both levels", async () => {
  const { warnings } = await put("retention", RETENTION);
  expect(warnings).toEqual([
    {
      path: "jobs.usual.command",
      message: expect.stringContaining(String.raw`["echo","\"kept","as","long","as","the","others\""]`),
    },
  ]);
  const { jobs, log_retention_period: shared } = await read("retention");
  const own = Object.entries<{ log_retention_period?: string }>(jobs).map(([name, job]) => [
    name,
    job.log_retention_period,
  ]);
  expect(shared).toBe("30 days");
  expect(Object.fromEntries(own)).toEqual({
    usual: undefined,
    week: "7 days",
    weeks: "14 days",
    month: "30 days",
    hours: "1 day",
    minutes: "1 hour and 30 minutes",
  });
});

it.each([
  ["pipes", "ps | wc -l", true],
  ["variables", "echo $HOME", true],
  ["assignments", "FOO=1 env", true],
  ["quotes", "echo 'a b'", true],
  ["patterns", "rm *.tmp", true],
  ["a home", "ls ~/x", true],
  ["options", "tar --exclude=x -czf a.tgz a#b c~ %d 50%!", false],
  ["plain words", "python3 -m http.server 8000", false],
])("warns about a string with %s only if the shell changes it", async (_what, command, warned) => {
  const { body } = await call("put", "/schedules/shell", { jobs: { shell: { command } } }).expect(200);
  expect(body.warnings).toHaveLength(warned ? 1 : 0);
  const list = await call("put", "/schedules/shell", { jobs: { shell: { command: [command] } } }).expect(200);
  expect(list.body.warnings).toEqual([]);
});

it.each([
  ["minimal", MINIMAL],
  ["configuration", CONFIGURATION],
  ["events", EVENTS],
  ["retention", RETENTION],
])("changes nothing when %s is imported again", async (name, yaml) => {
  await put(name, yaml);
  expect(await put(name, yaml)).toMatchObject({ created: [], updated: [], deleted: [], diff: {} });
});
