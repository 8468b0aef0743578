/** Tests of the bodies of notifications: field names, limits, and what remains of a long log. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  deliveryBody,
  type EventBody,
  freezeBody,
  thawBody,
} from "../../../src/deliveries/rules/payloads.ts";
import type { NotifyAction } from "../../../src/jobs/rules/definition.ts";

const KIB = 1_024;
const BODY: EventBody = {
  status: 0,
  log: "brewing\ndone\n",
  name: "TeapotTask",
  triggered_at: "2023-04-01T12:00:00.000Z",
  triggered_by: "CoffeeRequestButton",
  triggered: ["CoffeeMachine"],
  retry_attempt: 2,
  retries_exhausted: true,
  event: "on_retries_exhausted",
  run_id: "018739e5-0000-7000-8000-000000000001",
  log_truncated: false,
};
const PARENT: EventBody = {
  ...BODY,
  log: "asked\n",
  name: "ParentJob",
  triggered_by: "cron",
  event: "on_success",
  run_id: "018739e5-0000-7000-8000-000000000000",
};

function sent(action: NotifyAction, body: EventBody): Record<string, unknown> {
  return JSON.parse(deliveryBody(action, freezeBody(body), "delivery-1"));
}

/** Returns a body and its ancestors, the youngest first. */
function generations(body: EventBody): EventBody[] {
  const { triggered_by_job_run: parent } = body;
  return parent === undefined ? [body] : [body, ...generations(parent)];
}

/** Returns the body of the last run in a chain of `length` runs. Each body was frozen before the next one. */
function chain(length: number, log: (generation: number) => string): EventBody {
  let body: EventBody | undefined;
  for (let i = 1; i <= length; i++) {
    const next = { ...BODY, name: `job-${i}`, log: log(i) };
    body = thawBody(freezeBody(body === undefined ? next : { ...next, triggered_by_job_run: body }));
  }
  if (body === undefined) throw new RangeError("a chain has at least one run");
  return body;
}

describe("notify_webhook", () => {
  test("adds the reason of an attempt that did not end by itself", () => {
    const reason = "the runner process died";
    expect(sent("notify_webhook", { ...BODY, reason })).toEqual({
      ...BODY,
      reason,
      delivery_id: "delivery-1",
    });
  });

  test("sends the body of docs/events.md and the delivery's id", () => {
    const frozen = freezeBody({ ...BODY, triggered_by_job_run: PARENT });
    expect(JSON.parse(deliveryBody("notify_webhook", frozen, "delivery-1"))).toEqual({
      status: 0,
      log: "brewing\ndone\n",
      name: "TeapotTask",
      triggered_at: "2023-04-01T12:00:00.000Z",
      triggered_by: "CoffeeRequestButton",
      triggered: ["CoffeeMachine"],
      retry_attempt: 2,
      retries_exhausted: true,
      event: "on_retries_exhausted",
      run_id: "018739e5-0000-7000-8000-000000000001",
      log_truncated: false,
      triggered_by_job_run: PARENT,
      delivery_id: "delivery-1",
    });
  });

  test("has no triggered_by_job_run when no run triggered this one", () => {
    expect(sent("notify_webhook", BODY)).toEqual({ ...BODY, delivery_id: "delivery-1" });
  });

  test("leaves the frozen text unchanged, so that deliveries of one event differ only in the id", () => {
    const frozen = freezeBody({ ...BODY, log: 'a "quoted" }\n' });
    const [one, two] = ["1", "2"].map((id) => deliveryBody("notify_webhook", frozen, id));
    expect(one).toBe(`${frozen.slice(0, -1)},"delivery_id":"1"}`);
    expect(two).toBe(one?.replace(/"1"\}$/, '"2"}'));
    expect(JSON.parse(one ?? "").log).toBe('a "quoted" }\n');
  });
});

describe.each([
  { action: "notify_slack_webhook", field: "text", limit: 40_000, extra: {} },
  {
    action: "notify_discord_webhook",
    field: "content",
    limit: 2_000,
    extra: { allowed_mentions: { parse: [] } },
  },
] as const)("$action", ({ action, field, limit, extra }) => {
  const head = "TeapotTask (exitcode 0):\n";
  const room = limit - head.length;

  test("names the job, the status and the log", () => {
    expect(sent(action, BODY)).toEqual({ [field]: `${head}brewing\ndone\n`, ...extra });
  });

  test("keeps a log that just fits", () => {
    const log = `first${"x".repeat(room - 5)}`;
    expect(sent(action, { ...BODY, log })).toEqual({ [field]: head + log, ...extra });
  });

  test("keeps the first line of the message and the end of a longer log", () => {
    const log = `lost${"x".repeat(room - 4)}end\n`;
    expect(sent(action, { ...BODY, log })[field]).toBe(head + log.slice(-room));
  });

  test("puts the reason of an attempt that did not end by itself before its log", () => {
    const timedOut = { ...BODY, status: 124, reason: "timed out after 10m" };
    const message = `TeapotTask (exitcode 124):\ntimed out after 10m\nbrewing\ndone\n`;
    expect(sent(action, timedOut)[field]).toBe(message);
    expect(sent(action, { ...timedOut, log: "" })[field]).toBe(
      "TeapotTask (exitcode 124):\ntimed out after 10m\n",
    );
  });

  test("says only once why a command could not be started", () => {
    const message = "spawn coffee ENOENT";
    const notStarted = { ...BODY, status: 127, reason: message, log: `${message}\n` };
    expect(sent(action, notStarted)[field]).toBe(`TeapotTask (exitcode 127):\n${message}\n`);
  });

  test("leaves room for the log after a long reason, and splits no character of it", () => {
    const reason = `${"x".repeat(499)}🫖${"y".repeat(9_000)}`;
    expect(sent(action, { ...BODY, reason, log: "end\n" })[field]).toBe(`${head}${"x".repeat(499)}\nend\n`);
  });

  test("gives each state of a progress bar a line", () => {
    const log = "10%\r55%\r100%\r\ndone\n";
    expect(sent(action, { ...BODY, log })[field]).toBe(`${head}10%\n55%\n100%\ndone\n`);
  });

  test("leaves out a character that the cut would split", () => {
    const kept = `${"x".repeat(room - 4)}end`;
    const message = sent(action, { ...BODY, log: `before☕🫖${kept}` })[field];
    expect(message).toBe(head + kept);
  });
});

describe("notify_slack_webhook", () => {
  const HEAD = "TeapotTask (exitcode 0):\n";
  const text = (log: string, name = "TeapotTask") =>
    String(sent("notify_slack_webhook", { ...BODY, name, log })["text"]);
  /** Returns what Slack shows for an escaped text without other control sequences. */
  const shown = (escaped: string) =>
    escaped.replace(/&(amp|lt|gt);/g, (_, name) => ({ amp: "&", lt: "<", gt: ">" })[String(name)] ?? "");

  test.each([
    ...[
      "<!channel>",
      "<!here>",
      "<!everyone>",
      "<!subteam^S1|x>",
      "<!date^0^{date}|x>",
      "<@U012AB3CD>",
      "<#C024BE7LR>",
    ],
    ...[
      "<https://evil.example|bank.example>",
      "<mailto:a@b.example|x>",
      "&lt;!channel&gt;",
      "a < b && c > d",
      "&amp;amp;",
    ],
  ])("escapes %s, in a log and in a name, so that it is shown literally", (sequence) => {
    for (const message of [text(`x ${sequence} y`), text("", sequence)]) {
      expect(message).not.toMatch(/[<>]|&(?!(?:amp|lt|gt);)/);
    }
    expect(shown(text(`x ${sequence} y`))).toBe(`${HEAD}x ${sequence} y`);
    expect(shown(text("", sequence))).toBe(`${sequence} (exitcode 0):\n`);
  });

  test.each(["&", "<", ">"])(
    "cuts a log of only %s between two entities, and fills the message",
    (character) => {
      const escaped = { "&": "&amp;", "<": "&lt;", ">": "&gt;" }[character] ?? "";
      for (const tail of ["", "e", "en", "end", "end!"]) {
        const fitting = Math.floor((40_000 - HEAD.length - tail.length) / escaped.length);
        expect(text(character.repeat(50_000) + tail)).toBe(HEAD + escaped.repeat(fitting) + tail);
      }
    },
  );

  test("keeps the whole first line, however long the escaped name is", () => {
    const message = text("x".repeat(60_000), "&".repeat(200));
    expect(message.startsWith(`${"&amp;".repeat(200)} (exitcode 0):\nx`)).toBe(true);
    expect(message).toHaveLength(40_000);
  });

  test("keeps the longest end of any log that fits into 40,000 characters, and escapes only entities", () => {
    const units = fc.constantFrom("&", "<", ">", "amp;", "lt;", ";", "a", "🫖", "\n");
    fc.assert(
      fc.property(
        fc.array(units, { maxLength: 12 }),
        fc.integer({ min: 39_900, max: 40_020 }),
        (some, length) => {
          const log = `${some.join("")}${"&x".repeat(30)}`.padEnd(length, "y") + some.join("");
          const message = text(log);
          const end = shown(message).slice(HEAD.length);
          expect(message.length).toBeLessThanOrEqual(40_000);
          expect(message).not.toMatch(/[<>]|&(?!(?:amp|lt|gt);)/);
          expect(end.isWellFormed() && log.endsWith(end)).toBe(true);
          // An entity has five units, so up to four may stay unused.
          expect(end === log || message.length > 40_000 - 5).toBe(true);
        },
      ),
    );
  });
});

describe("the logs of one body", () => {
  test("keep the last 64 KiB each of the run and its parent", () => {
    const log = `lost${"x".repeat(64 * KIB - 4)}end\n`;
    const body = thawBody(freezeBody({ ...BODY, log, triggered_by_job_run: { ...PARENT, log } }));
    for (const one of generations(body)) {
      expect(one.log).toBe(log.slice(4));
      expect(one.log_truncated).toBe(true);
    }
  });

  test("stay whole when they fit, and keep the mark of an earlier cut", () => {
    const log = "x".repeat(64 * KIB);
    const parent = { ...PARENT, log, log_truncated: true };
    const body = thawBody(freezeBody({ ...BODY, log, triggered_by_job_run: parent }));
    expect(body).toEqual({ ...BODY, log, triggered_by_job_run: parent });
  });

  test("are counted in bytes, and no character is split", () => {
    // All characters but the last have 4 bytes, so the cut falls inside a character.
    const body = thawBody(freezeBody({ ...BODY, log: `${"🫖".repeat(64 * KIB)}!` }));
    expect(body.log).toBe(`${"🫖".repeat(16 * KIB - 1)}!`);
  });

  test.each([3, 4, 9, 16])("of %i runs share 128 KiB among the older runs, each with its end", (length) => {
    const body = chain(length, (i) => `${"x".repeat(200 * KIB)}end of ${i}`);
    const share = Math.min(64 * KIB, Math.floor((128 * KIB) / (length - 2)));
    const logs = generations(body).map(({ log }) => log);
    expect(logs.map((log) => log.length)).toEqual([
      64 * KIB,
      64 * KIB,
      ...Array<number>(length - 2).fill(share),
    ]);
    expect(logs.map((log) => log.replace(/^x+/, ""))).toEqual(
      Array.from({ length }, (_, age) => `end of ${length - age}`),
    );
    expect(generations(body).every((one) => one.log_truncated)).toBe(true);
  });

  test("of 16 runs take at most 256 KiB in one body", () => {
    const frozen = freezeBody(chain(16, () => "x".repeat(200 * KIB)));
    expect(generations(thawBody(frozen))).toHaveLength(16);
    const others = freezeBody(chain(16, () => ""));
    expect(Buffer.byteLength(frozen)).toBeLessThanOrEqual(256 * KIB + Buffer.byteLength(others));
  });
});

test("thaws a frozen body unchanged, ancestors included", () => {
  const body = { ...BODY, log: 'line\n"quote" \\ \u0001 \u2028 ☕🫖\n', triggered_by_job_run: PARENT };
  expect(thawBody(freezeBody(body))).toEqual(body);
});
