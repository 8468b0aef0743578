/** Generates the database client with Prisma's generator, without Prisma's command line and its 200 MB. */
import { createHash } from "node:crypto";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { inRoot } from "../prepare/programs.mjs";

const SCHEMA = inRoot("prisma", "schema.prisma");
const GENERATOR = inRoot("node_modules", "@prisma", "client-generator-ts", "package.json");
const STAMP = inRoot("src", "postgres", "generated", ".stamp");

/** Whether src/postgres/generated belongs to the present schema and generator. */
export function clientIsGenerated() {
  return existsSync(STAMP) && readFileSync(STAMP, "utf8") === fingerprint();
}

/** Writes src/postgres/generated, as `prisma generate` does. */
export async function generateClient() {
  const made = fingerprint();
  rmSync(STAMP, { force: true });
  // The packages' ES modules name files that are not there; their CommonJS works.
  const require = createRequire(import.meta.url);
  const { getGenerator, loadSchemaContext } = require("@prisma/internals");
  const { PrismaClientTsGenerator } = require("@prisma/client-generator-ts");
  console.error("Generating the database client");
  const generator = await getGenerator({
    schemaContext: await loadSchemaContext({
      schemaPath: { cliProvidedPath: SCHEMA },
      printLoadMessage: false,
    }),
    registry: { "prisma-client": { type: "in-process", generator: new PrismaClientTsGenerator() } },
    skipDownload: true,
  });
  try {
    await generator.generate();
  } finally {
    generator.stop();
  }
  writeFileSync(STAMP, made);
}

function fingerprint() {
  const sources = [SCHEMA, GENERATOR].map((file) => readFileSync(file, "utf8"));
  return createHash("sha256").update(sources.join("\0")).digest("hex");
}
