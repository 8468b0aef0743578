/** Tests that the code follows ARCHITECTURE.md: imports, pure rules, names of files, and state diagrams. */
import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { basename, dirname, join, posix } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { ATTEMPT_TRANSITIONS, RUN_TRANSITIONS } from "../src/runs/rules/states.ts";
import { lint } from "./support/linter.ts";

const ROOT = join(import.meta.dirname, "..");

/** The rooms from the bottom up. Each may import the rooms before it, except for pairs on the same level. */
const ROOMS = [
  "time",
  "text",
  "postgres",
  "queue",
  "jobs",
  "access",
  "deliveries",
  "logs",
  "runs",
  "schedules",
];
const PROCESSES = ["scheduler", "worker"];
const RULES = ["jobs", "access", "deliveries", "logs", "runs"];
const NODE = ["node:fs/promises", "node:net"];
const FASTIFY = ["@fastify/swagger", "fastify"];
const TOP = ["src/errors.ts", "src/infra.ts", "src/lifecycle.ts"];

const file = (room: string) => `src/${room}/y.ts`;
const rule = (room: string) => `src/${room}/rules/y.ts`;
/** The files of rooms that the rooms above them may import. */
const offered = (rooms: readonly string[]) =>
  rooms.flatMap((room) => (RULES.includes(room) ? [file(room), rule(room)] : [file(room)]));
const roomsBelow = (room: string) => ROOMS.slice(0, ROOMS.indexOf(room));

/** Every kind of import that the test tries. */
const TARGETS = [
  ...offered([...ROOMS, ...PROCESSES, "api"]),
  ...TOP,
  ...["src/postgres/generated/client.ts", "src/postgres/embedded/y.ts", "src/worker/runner/y.ts"],
  ...["src/config.ts", "src/service.ts", "src/main.ts", "src/node-settings.ts", "src/run-service.ts"],
  ...[...NODE, "node:child_process", "node:process"],
  ...[
    ...FASTIFY,
    "@prisma/adapter-pg",
    "got",
    "node-cron",
    "pg",
    "pg-boss",
    "pino",
    ...["accepts", "p-limit", "standardwebhooks", "temporal-polyfill"],
    "yaml",
    "not-a-dependency",
  ],
];

const GENERATED = "src/postgres/generated/client.ts";
/** The imports allowed in a room outside `rules/`: the rooms below it, the room itself, and its own libraries. */
const verbs = (room: string, below: readonly string[], ...libraries: string[]) => [
  ...offered([...below, room]),
  ...TOP,
  GENERATED,
  ...NODE,
  ...libraries,
];
const rules = (room: string, ...below: string[]) => [
  rule(room),
  ...["src/errors.ts", file("time"), file("text")],
  ...below.map(rule),
];

/** The TARGETS that each place may import. */
const ALLOWED: Record<string, string[]> = {
  "src/errors.ts": [],
  "src/infra.ts": [file("postgres"), file("queue")],
  "src/lifecycle.ts": ["src/errors.ts", ...NODE, "pino"],
  "src/time/x.ts": [file("time")],
  "src/time/cron.ts": [file("time"), "node-cron"],
  "src/time/zones.ts": [file("time"), "temporal-polyfill"],
  "src/text/x.ts": [file("text"), "src/errors.ts", "yaml"],
  "src/postgres/x.ts": verbs(
    "postgres",
    ["time", "text"],
    "src/postgres/embedded/y.ts",
    "@prisma/adapter-pg",
    "pg",
  ),
  "src/postgres/embedded/x.ts": [
    ...[file("postgres"), "src/postgres/embedded/y.ts", "src/errors.ts"],
    ...[...NODE, "node:child_process", "pg"],
  ],
  "src/queue/x.ts": verbs("queue", ["time", "text", "postgres"], "pg", "pg-boss"),
  "src/jobs/x.ts": verbs("jobs", roomsBelow("jobs")),
  "src/jobs/rules/x.ts": rules("jobs"),
  "src/access/x.ts": verbs("access", roomsBelow("access")),
  "src/access/rules/x.ts": rules("access", "jobs"),
  "src/deliveries/x.ts": verbs(
    "deliveries",
    roomsBelow("deliveries"),
    "got",
    "p-limit",
    "pino",
    "standardwebhooks",
  ),
  "src/deliveries/rules/x.ts": rules("deliveries", "jobs", "access"),
  "src/logs/x.ts": verbs("logs", roomsBelow("deliveries")),
  "src/logs/rules/x.ts": rules("logs", "jobs", "access"),
  "src/runs/x.ts": verbs("runs", roomsBelow("runs")),
  "src/runs/rules/x.ts": rules("runs", "jobs", "access", "deliveries", "logs"),
  "src/schedules/x.ts": verbs("schedules", roomsBelow("schedules")),
  "src/scheduler/x.ts": verbs("scheduler", ROOMS, "pino"),
  "src/worker/x.ts": verbs(
    "worker",
    ROOMS,
    "src/worker/runner/y.ts",
    "node:child_process",
    "p-limit",
    "pino",
  ),
  "src/worker/runner/x.ts": ["src/worker/runner/y.ts", ...NODE, "node:child_process"],
  "src/api/x.ts": verbs("api", [...ROOMS, ...PROCESSES], ...FASTIFY, "accepts", "pino"),
  "src/api/routes/x.ts": verbs("api", [...ROOMS, ...PROCESSES], ...FASTIFY, "accepts", "pino"),
  "src/config.ts": ["src/errors.ts", file("time"), rule("jobs"), ...NODE, "node:process"],
  "src/service.ts": [
    ...offered([...ROOMS, ...PROCESSES, "api"]),
    ...[...TOP, "src/postgres/embedded/y.ts", "src/config.ts", ...NODE, "p-limit", "pino"],
  ],
  "src/main.ts": ["src/node-settings.ts", "src/run-service.ts"],
  "src/node-settings.ts": [...NODE],
  "src/run-service.ts": ["src/errors.ts", "src/config.ts", "src/service.ts", ...NODE, "pino"],
  "src/new-part/x.ts": [],
};

describe("the linter on imports", () => {
  let accepted: Record<string, string[]>;

  beforeAll(async () => {
    const files = Object.keys(ALLOWED).map((file) => [
      file,
      TARGETS.filter((to) => to !== file).map((to) => importOf(file, to)),
    ]);
    accepted = await lint(Object.fromEntries(files), /noRestrictedImports$/);
  });

  it.each(Object.keys(ALLOWED))("lets %s import only what it may", (file) => {
    const allowed = ALLOWED[file]?.map((to) => importOf(file, to));
    expect(accepted[file]?.toSorted()).toEqual(allowed?.toSorted());
  });

  it("checks type imports, re-exports and dynamic imports", async () => {
    const lines = [
      'import type { Options } from "got";',
      'export { got } from "got";',
      'export const late = await import("got");',
    ];
    expect(await lint({ "src/api/x.ts": lines }, /noRestrictedImports$/)).toEqual({ "src/api/x.ts": [] });
  });

  it("lets only config read the environment", async () => {
    const lines = ["export const home = process.env.HOME;"];
    const accepted = await lint({ "src/config.ts": lines, "src/worker/x.ts": lines }, /noProcessEnv$/);
    expect(accepted).toEqual({ "src/config.ts": lines, "src/worker/x.ts": [] });
  });
});

describe("the linter on rules", () => {
  const pure = ["new Date(0);", "Date.UTC(2000, 1);", "Math.floor(1.5);", 'new Intl.NumberFormat("en");'];
  const clocks = [
    "Date.now();",
    "new Date();",
    "Date();",
    "[].map(Date.now);",
    "performance.now();",
    "Temporal.Now.instant();",
  ];
  const chance = ["Math.random();", "crypto.randomUUID();"];
  const PURE = ["src/time/x.ts", "src/text/x.ts", ...RULES.map((room) => `src/${room}/rules/x.ts`)];
  const effects = [
    "process.exit();",
    "setTimeout(String, 1);",
    'fetch("http://localhost");',
    "console.log(1);",
  ];

  it("refuses clocks, random numbers and I/O in rules, and nowhere else", async () => {
    const lines = [...pure, ...clocks, ...chance, ...effects];
    const accepted = await lint(
      Object.fromEntries([...PURE, "src/jobs/x.ts"].map((place) => [place, lines])),
      /^plugin$|noRestrictedGlobals$/,
    );
    const refused = PURE.map((place) => [place, pure]);
    expect(accepted).toEqual({ ...Object.fromEntries(refused), "src/jobs/x.ts": lines });
  });
});

describe("every file", () => {
  it("starts with one sentence in a comment", async () => {
    const files = await sources("src", "scripts", "test", "bench");
    const openings = await Promise.all(files.map(async (file) => [file, (await read(file)).split("\n")[0]]));
    const wrong = openings.filter(([, line]) => !/^\/\*\* (?!.*[.?!] [A-Z])\S.*\. \*\/$/.test(line ?? ""));
    expect(wrong).toEqual([]);
  });

  it("has a name that says more than utils, helpers or common", async () => {
    const vague = (await sources("src", "scripts", "test", "bench")).filter((file) =>
      /^(utils?|helpers?|common|misc|shared)\b/.test(basename(file)),
    );
    expect(vague).toEqual([]);
  });
});

/** Test files that no file of `src` corresponds to, because they check all of them. */
const OF_ALL_SOURCES = ["test/architecture.test.ts", "test/redos.test.ts"];

describe("test/", () => {
  it("mirrors src/: test/a/b.test.ts and test/a/b-more.test.ts test src/a/b.ts or src/a/b/", async () => {
    const named = (await sources("src")).flatMap((file) => [file.replace(/\.ts$/, ""), dirname(file)]);
    const tests = (await sources("test")).filter((file) => /^test\/(?!service\/|support\/)/.test(file));
    const stray = tests.filter((file) => {
      const place = file.replace(/^test/, "src").replace(/\.test\.ts$/, "");
      return !named.some((name) => name !== "src" && (place === name || place.startsWith(`${name}-`)));
    });
    expect(stray.toSorted()).toEqual(OF_ALL_SOURCES);
  });
});

describe("the pictures of ARCHITECTURE.md", () => {
  const pictures = async () => {
    const blocks = (await read("ARCHITECTURE.md")).matchAll(/^```mermaid\nstateDiagram-v2\n(.*?)^```$/gms);
    return [...blocks].map(([, block = ""]) =>
      [...block.matchAll(/^\s*(\S+) --> (\S+?)(?:\s*:.*)?$/gm)].map(([, from, to]) => `${from} --> ${to}`),
    );
  };

  it.each([
    { what: "runs", index: 0, transitions: RUN_TRANSITIONS, starts: ["queued", "skipped", "missed"] },
    { what: "attempts", index: 1, transitions: ATTEMPT_TRANSITIONS, starts: ["running"] },
  ])("show the states and transitions of $what in the rules", async ({ index, transitions, starts }) => {
    const arrows = Object.entries(transitions).flatMap(([from, targets]: [string, readonly string[]]) =>
      targets.map((to) => `${from} --> ${to}`),
    );
    const shown = (await pictures())[index]?.filter((arrow) => !arrow.endsWith("--> [*]"));
    expect(shown?.toSorted()).toEqual([...starts.map((to) => `[*] --> ${to}`), ...arrows].toSorted());
  });
});

describe("ARCHITECTURE.md", () => {
  it("names only existing files", async () => {
    const named = [...(await read("ARCHITECTURE.md")).matchAll(/`([\w./-]+\.(?:ts|prisma|json|md))`/g)];
    const paths = named.map(([, path = ""]) => path);
    const isThere = (path: string) => existsSync(join(ROOT, path)) || existsSync(join(ROOT, "src", path));
    expect(paths.length).toBeGreaterThan(50);
    expect(paths.filter((path) => !isThere(path))).toEqual([]);
  });
});

/** The line that imports another file, or a package. */
function importOf(file: string, target: string): string {
  if (!target.startsWith("src/")) return `import "${target}";`;
  const path = posix.relative(posix.dirname(file), target);
  return `import "${path.startsWith(".") ? path : `./${path}`}";`;
}

/** The code files below folders, except generated ones. */
async function sources(...folders: string[]): Promise<string[]> {
  const found = await Promise.all(
    folders.map(async (folder) => {
      const files = await readdir(join(ROOT, folder), { recursive: true });
      return files.map((file) => posix.join(folder, file));
    }),
  );
  return found.flat().filter((file) => /\.m?ts$/.test(file) && !file.startsWith("src/postgres/generated/"));
}

function read(file: string): Promise<string> {
  return readFile(join(ROOT, file), "utf8");
}
