/** The OpenAPI document as tests use it: its operations, and whether bodies keep to it. */
import { Ajv2020 } from "ajv/dist/2020.js";
import formats from "ajv-formats";
import { documentText } from "../../scripts/docs/openapi.ts";

export interface Schema {
  $ref?: string;
  example?: unknown;
  [keyword: string]: unknown;
}

type Content = Record<string, { schema: Schema }>;

export interface Operation {
  id: string;
  method: string;
  /** With names in braces, such as `/api/v1/jobs/{name}`. */
  path: string;
  parameters: { name: string; in: "path" | "query" | "header"; required: boolean; schema: Schema }[];
  /** What it takes, by media type. */
  takes: Content;
  /** What it answers, by status and media type; no media type: no body. */
  answers: Record<string, Content>;
  /** Wants no token. */
  open: boolean;
}

interface Described {
  operationId: string;
  parameters?: Operation["parameters"];
  requestBody?: { content: Content };
  responses: Record<string, { content?: Content }>;
  security?: unknown[];
}

interface Document {
  paths: Record<string, Record<string, Described>>;
  components: { schemas: Record<string, Schema> };
}

export const document = JSON.parse(await documentText()) as Document;

export const operations: Operation[] = Object.entries(document.paths).flatMap(([path, item]) =>
  Object.entries(item).map(([method, described]) => ({
    id: described.operationId,
    method: method.toUpperCase(),
    path,
    parameters: described.parameters ?? [],
    takes: described.requestBody?.content ?? {},
    answers: Object.fromEntries(
      Object.entries(described.responses).map(([status, { content = {} }]) => [status, content]),
    ),
    open: described.security?.length === 0,
  })),
);

// What a document says beside its schemas is no schema, so ajv need not like it.
const ajv = new Ajv2020({ strict: false, validateSchema: false, allErrors: true });
formats.default(ajv);
ajv.addSchema(document, "openapi");

/** The operation that a request is for, such as `GET` and `/api/v1/jobs/coffee?limit=1`. Throws for unknown ones. */
export function operationOf(method: string, url: string): Operation {
  const path = url.split("?", 1)[0] ?? "";
  const found = operations.find(
    (one) => one.method === method && new RegExp(`^${one.path.replaceAll(/\{\w+\}/g, "[^/]+")}$`).test(path),
  );
  if (found === undefined) throw new Error(`the document has no ${method} ${path}`);
  return found;
}

/** How the messages of zod begin that no schema has replaced. */
const ZOD_TEXT = /Invalid (?:input|option|string|key|UUID|ISO|URL)|Too (?:small|big)|Unrecognized key/;

/** An answer as it came. */
export interface Answer {
  status: number;
  /** Its Content-Type; undefined where there is none. */
  type: string | undefined;
  text: string;
}

/** Why an answer is none that the document promises; undefined when it is one. */
export function answerFault(operation: Operation, { status, type, text }: Answer): string | undefined {
  const promised = operation.answers[status];
  const where = `${operation.id} ${status} ${type}`;
  if (promised === undefined) return `${where}: no such status: ${text}`;
  if (Object.keys(promised).length === 0)
    return text === "" ? undefined : `${where}: no body expected: ${text}`;
  const mediaType = mediaTypeOf(type);
  if (promised[mediaType] === undefined) return `${where}: no such media type: ${text}`;
  const value = mediaType.endsWith("json") ? JSON.parse(text) : text;
  if (mediaType === "application/problem+json" && !/^[A-Z].*[.?]$/s.test(value.detail)) {
    return `${where}: its detail is not a sentence: ${text}`;
  }
  if (mediaType === "application/problem+json" && ZOD_TEXT.test(text)) return `${where}: not plain: ${text}`;
  const faults = schemaFaults(
    `${pointer(operation)}/responses/${status}/content/${pointerPart(mediaType)}`,
    value,
  );
  return faults && `${where}: ${faults}: ${text}`;
}

/** Why a request body is none that the document allows; undefined when it is one. */
export function bodyFault(operation: Operation, mediaType: string, body: unknown): string | undefined {
  return schemaFaults(`${pointer(operation)}/requestBody/content/${pointerPart(mediaType)}`, body);
}

/** A media type without its parameters. */
export function mediaTypeOf(type = ""): string {
  return type.split(";", 1)[0]?.trim().toLowerCase() ?? "";
}

function schemaFaults(at: string, value: unknown): string | undefined {
  const validate = ajv.getSchema(`openapi#${at}/schema`);
  if (validate === undefined) return `no schema at ${at}`;
  return validate(value) === true ? undefined : ajv.errorsText(validate.errors);
}

function pointer({ path, method }: Operation): string {
  return `/paths/${pointerPart(path)}/${method.toLowerCase()}`;
}

/** A key as part of a JSON pointer in a URI. */
function pointerPart(key: string): string {
  return encodeURIComponent(key.replaceAll("~", "~0").replaceAll("/", "~1"));
}
