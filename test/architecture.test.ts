/** Holds the tree to ARCHITECTURE.md: who imports whom, what core may call, how files open, which states lead where. */
import { readdir, readFile } from "node:fs/promises";
import { basename, join, posix } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { ATTEMPT_TRANSITIONS, RUN_TRANSITIONS } from "../src/runs/rules/states.ts";
import { lint } from "./support/linter.ts";

const ROOT = join(import.meta.dirname, "..");

const LOWER = ["src/core/y.ts", "src/db/y.ts", "src/engine/y.ts", "src/orchestrator/y.ts"];
const ROLES = ["src/api/y.ts", "src/scheduler/y.ts", "src/worker/y.ts", "src/notify/y.ts"];
const NODE = ["node:fs/promises", "node:net"];
const FASTIFY = ["@fastify/swagger", "fastify"];

/** All that a file may try to import. */
const TARGETS = [
  ...[
    ...LOWER,
    "src/db/generated/client.ts",
    ...ROLES,
    "src/worker/runner/y.ts",
    "src/config.ts",
    "src/service.ts",
    "src/main.ts",
  ],
  ...[...NODE, "node:child_process", "node:process"],
  ...[...FASTIFY, "@prisma/adapter-pg", "got", "node-cron", "pg", "pg-boss", "pino", "not-a-dependency"],
];

/** What each place may import, of TARGETS. */
const ALLOWED: Record<string, string[]> = {
  "src/core/x.ts": ["src/core/y.ts"],
  "src/core/cron.ts": ["src/core/y.ts", "node-cron"],
  "src/db/x.ts": [
    ...["src/core/y.ts", "src/db/y.ts", "src/db/generated/client.ts"],
    ...[...NODE, "@prisma/adapter-pg", "pg"],
  ],
  "src/db/embedded/x.ts": ["src/core/y.ts", "src/db/y.ts", ...NODE, "node:child_process", "pg"],
  "src/engine/x.ts": ["src/core/y.ts", "src/engine/y.ts", ...NODE, "pg", "pg-boss"],
  "src/orchestrator/x.ts": [...LOWER, ...NODE],
  "src/api/x.ts": [...LOWER, "src/api/y.ts", ...NODE, ...FASTIFY, "pino"],
  "src/api/routes/x.ts": [...LOWER, "src/api/y.ts", ...NODE, ...FASTIFY, "pino"],
  "src/scheduler/x.ts": [...LOWER, "src/scheduler/y.ts", ...NODE, "node-cron", "pino"],
  "src/worker/x.ts": [
    ...LOWER,
    "src/worker/y.ts",
    "src/worker/runner/y.ts",
    ...NODE,
    "node:child_process",
    "pino",
  ],
  "src/worker/runner/x.ts": ["src/worker/runner/y.ts", ...NODE, "node:child_process"],
  "src/notify/x.ts": [...LOWER, "src/notify/y.ts", ...NODE, "got", "pino"],
  "src/config.ts": ["src/core/y.ts", ...NODE, "node:process"],
  "src/service.ts": [...LOWER, ...ROLES, "src/config.ts", ...NODE, "pino"],
  "src/main.ts": ["src/core/y.ts", "src/config.ts", "src/service.ts", ...NODE, "pino"],
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

  it.each(Object.keys(ALLOWED))("lets %s import what it may and nothing else", (file) => {
    const allowed = ALLOWED[file]?.map((to) => importOf(file, to));
    expect(accepted[file]?.toSorted()).toEqual(allowed?.toSorted());
  });

  it("sees types, exports and dynamic imports", async () => {
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

describe("the linter on core", () => {
  const pure = ["new Date(0);", "Date.UTC(2000, 1);", "Math.floor(1.5);", 'new Intl.NumberFormat("en");'];
  const clocks = ["Date.now();", "new Date();", "Date();", "[].map(Date.now);", "performance.now();"];
  const chance = ["Math.random();", "crypto.randomUUID();"];
  const effects = [
    "process.exit();",
    "setTimeout(String, 1);",
    'fetch("http://localhost");',
    "console.log(1);",
  ];

  it("refuses clocks, chance and I/O there, and nowhere else", async () => {
    const lines = [...pure, ...clocks, ...chance, ...effects];
    const accepted = await lint(
      { "src/core/x.ts": lines, "src/db/x.ts": lines },
      /^plugin$|noRestrictedGlobals$/,
    );
    expect(accepted).toEqual({ "src/core/x.ts": pure, "src/db/x.ts": lines });
  });
});

describe("the files", () => {
  it("open with one sentence", async () => {
    const files = await sources("src", "scripts", "test");
    const openings = await Promise.all(files.map(async (file) => [file, (await read(file)).split("\n")[0]]));
    const wrong = openings.filter(([, line]) => !/^\/\*\* (?!.*[.?!] [A-Z])\S.*\. \*\/$/.test(line ?? ""));
    expect(wrong).toEqual([]);
  });

  it("say in their names what they are for", async () => {
    const vague = (await sources("src", "scripts", "test")).filter((file) =>
      /^(utils?|helpers?|common|misc|shared)\b/.test(basename(file)),
    );
    expect(vague).toEqual([]);
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
  ])("show the states of $what as core has them", async ({ index, transitions, starts }) => {
    const arrows = Object.entries(transitions).flatMap(([from, targets]: [string, readonly string[]]) =>
      targets.map((to) => `${from} --> ${to}`),
    );
    const shown = (await pictures())[index]?.filter((arrow) => !arrow.endsWith("--> [*]"));
    expect(shown?.toSorted()).toEqual([...starts.map((to) => `[*] --> ${to}`), ...arrows].toSorted());
  });
});

/** The line with which one file imports another, or a package. */
function importOf(file: string, target: string): string {
  if (!target.startsWith("src/")) return `import "${target}";`;
  const path = posix.relative(posix.dirname(file), target);
  return `import "${path.startsWith(".") ? path : `./${path}`}";`;
}

/** The files of code below folders, generated ones left out. */
async function sources(...folders: string[]): Promise<string[]> {
  const found = await Promise.all(
    folders.map(async (folder) => {
      const files = await readdir(join(ROOT, folder), { recursive: true });
      return files.map((file) => posix.join(folder, file));
    }),
  );
  return found.flat().filter((file) => /\.m?ts$/.test(file) && !file.startsWith("src/db/generated/"));
}

function read(file: string): Promise<string> {
  return readFile(join(ROOT, file), "utf8");
}
