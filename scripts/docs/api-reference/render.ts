/** Writes parts of docs/api.md as Markdown: shortened responses, query parameters, the error codes. */
import { errorCatalogue } from "../../../src/errors.ts";

const WIDTH = 100;
const MAX_LINES = 60;

/** The parts of a parameter's JSON schema that the page shows. */
interface Schema {
  type?: string;
  enum?: string[];
  minimum?: number;
  maximum?: number;
  default?: unknown;
  example?: unknown;
  anyOf?: Schema[];
}

export interface Parameter {
  in: string;
  name: string;
  description?: string;
  schema: Schema;
}

/** A fenced block. It replaces lines beyond the limit by their count. */
export function fence(language: string, text: string): string {
  const lines = text.trimEnd().split("\n");
  const cut = lines.length > MAX_LINES ? [`... (${lines.length - MAX_LINES} more lines)`] : [];
  return [`\`\`\`${language}`, ...lines.slice(0, MAX_LINES), ...cut, "```"].join("\n");
}

/** JSON with short parts on one line. */
export function prettyJson(value: unknown, indent = "", before = 0): string {
  const line = oneLine(value);
  if (typeof value !== "object" || value === null || indent.length + before + line.length <= WIDTH)
    return line;
  const inner = `${indent}  `;
  if (Array.isArray(value))
    return ["[", value.map((item) => inner + prettyJson(item, inner)).join(",\n"), `${indent}]`].join("\n");
  const fields = Object.entries(value).map(([key, item]) => {
    const name = `${JSON.stringify(key)}: `;
    return inner + name + prettyJson(item, inner, name.length);
  });
  return ["{", fields.join(",\n"), `${indent}}`].join("\n");
}

function oneLine(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(oneLine).join(", ")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const fields = Object.entries(value).map(([key, item]) => `${JSON.stringify(key)}: ${oneLine(item)}`);
  return `{${fields.join(", ")}}`;
}

/** A list of the query parameters and headers of a call; empty when it has none. */
export function describeParameters(parameters: readonly Parameter[] = []): string {
  return parameters
    .filter((one) => one.in !== "path")
    .map(({ in: where, name, description, schema }) => {
      const facts = [where === "header" ? "a header" : [], values(schema)].flat().join("; ");
      const said = description === undefined ? "" : `: ${description}`;
      return `- \`${name}\`${facts === "" ? "" : ` (${facts})`}${said}`;
    })
    .join("\n");
}

function values(schema: Schema): string[] {
  const { anyOf, minimum, maximum, default: preset, example } = schema;
  if (anyOf !== undefined) {
    const single = anyOf.filter(({ type }) => type !== "array").flatMap(values);
    const repeatable = anyOf.some(({ type }) => type === "array");
    return [single.join(" or "), repeatable ? "may be repeated" : ""].filter((fact) => fact !== "");
  }
  const range = maximum === undefined ? `from ${minimum}` : `${minimum} to ${maximum}`;
  return [
    schema.enum?.map((value) => `\`${value}\``).join(", ") ?? [],
    minimum === undefined ? [] : range,
    preset === undefined ? [] : `default ${preset}`,
    example === undefined ? [] : `such as \`${example}\``,
  ].flat();
}

/** Calls as a table whose paths link to their sections. */
export function callTable(calls: readonly { method: string; url: string; summary: string }[]): string {
  const rows = calls.map(({ method, url, summary }) => {
    const anchor = `${method} ${url}`
      .toLowerCase()
      .replaceAll(/[^a-z0-9_ -]/g, "")
      .replaceAll(" ", "-");
    return `| [\`${method} ${url}\`](#${anchor}) | ${summary} |`;
  });
  return ["| call | does |", "| --- | --- |", ...rows].join("\n");
}

/** All error codes as a table. */
export function errorTable(): string {
  const rows = errorCatalogue()
    .toSorted((a, b) => a.status - b.status)
    .map(({ code, status, title }) => `| ${status} | \`${code}\` | ${title} |`);
  return ["| status | `code` | title |", "| --- | --- | --- |", ...rows].join("\n");
}
