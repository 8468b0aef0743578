/** Writes openapi/openapi.json from the routes, or checks that it is up to date, without a database. */
import { readFile, writeFile } from "node:fs/promises";
import { buildApp } from "../../src/api/app.ts";
import { routes } from "../../src/api/routes/index.ts";
import type { ApiSettings } from "../../src/api/settings.ts";
import type { Infra } from "../../src/infra.ts";

const FILE = "openapi/openapi.json";
const LOCATION = new URL(`../../${FILE}`, import.meta.url);
const SHOWN_LINES = 5;

// Describing a route calls no handler, so routes may receive their dependencies here but not use them.
const nothing = new Proxy({}, { get: (_, name) => unusable(String(name)) }) as Infra & ApiSettings;

function unusable(name: string): object {
  const refuse = () => {
    throw new Error(`A route needs ${name} before it is called`);
  };
  return new Proxy({}, { get: refuse });
}

/** The routes of the API, for reading their descriptions. Their handlers do not work. */
export const describedRoutes = routes(nothing, nothing);

/** The OpenAPI document as text: indented, in the order of the routes. */
export async function documentText(): Promise<string> {
  const app = await buildApp({ token: "unused", routes: describedRoutes });
  try {
    return `${JSON.stringify(app.swagger(), null, 2)}\n`;
  } finally {
    await app.close();
  }
}

/** The first difference between two texts, as a few lines of each; undefined if they are equal. */
export function firstDifference(old: string, now: string): string | undefined {
  if (old === now) return undefined;
  const [before, after] = [old.split("\n"), now.split("\n")];
  const start = after.findIndex((line, index) => line !== before[index]);
  const at = start < 0 ? after.length : start;
  const show = (mark: string, lines: string[]) =>
    lines.slice(at, at + SHOWN_LINES).map((line) => `${mark} ${line}`);
  return [`line ${at + 1}:`, ...show("-", before), ...show("+", after)].join("\n");
}

if (import.meta.main) {
  const text = await documentText();
  if (process.argv[2] === "--check") {
    const difference = firstDifference(await readFile(LOCATION, "utf8"), text);
    if (difference === undefined) console.log(`${FILE} agrees with the routes.`);
    else {
      console.error(
        `${FILE} does not agree with the routes; npm run openapi writes it again.\n${difference}`,
      );
      process.exitCode = 1;
    }
  } else {
    await writeFile(LOCATION, text);
    console.log(`Wrote ${FILE}`);
  }
}
