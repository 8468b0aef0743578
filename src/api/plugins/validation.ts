/** Validates requests with zod, names each wrong field, and refuses input that a call does not accept. */
import type { FastifyInstance, FastifyRequest, FastifySchemaCompiler } from "fastify";
import { z } from "zod";
import { CarillonError, type FieldError, invalidDocument, wrongFields } from "../../errors.ts";
import { fieldPath, findUnsafe } from "../../text/input.ts";
import { nearest } from "../../text/nearest.ts";
import { plainMessage, wrongType } from "../schemas/field-texts.ts";

type Schema = z.core.$ZodType;
type Issue = z.core.$ZodIssue;

const MAX_ERRORS = 50;

/** A missing field and one of another type differ only in their input. */
const PARSING = { error: plainMessage, reportInput: true } satisfies z.core.ParseContext<Issue>;

/** Fastify's validator compiler. A bad body is an `invalid_document`; bad params or a bad query are a `bad_request`. */
export const compileValidator: FastifySchemaCompiler<Schema> =
  ({ schema, httpPart }) =>
  (data: unknown) => {
    if (httpPart === "body") {
      // Fastify passes null for a missing body.
      const result = z.core.safeParse(schema, data ?? undefined, PARSING);
      if (result.success) return { value: result.data };
      return { error: invalidDocument(fieldErrors(result.error, schema)) };
    }
    const unsafe = findUnsafe(data);
    if (unsafe !== undefined) return { error: badRequest([unsafe]) };
    const result = z.core.safeParse(schema, data, PARSING);
    return result.success ? { value: result.data } : { error: badRequest(fieldErrors(result.error, schema)) };
  };

/** Parses a value as a document. Throws invalid_document. */
export function parseDocument<T extends Schema>(schema: T, value: unknown): z.core.output<T> {
  const result = z.core.safeParse(schema, value, PARSING);
  if (result.success) return result.data;
  throw invalidDocument(fieldErrors(result.error, schema));
}

/**
 * Lists the wrong fields, at most 50. The error of an unknown field names the nearest known field. Unknown fields come
 * first, because a misspelt field is often the reason why a required one is missing.
 */
function fieldErrors({ issues }: z.core.$ZodError, schema: Schema): FieldError[] {
  const isUnknown = ({ code }: Issue) => code === "unrecognized_keys";
  const ordered = [...issues.filter(isUnknown), ...issues.filter((issue) => !isUnknown(issue))];
  return ordered.flatMap((issue) => describe(issue, schema, [])).slice(0, MAX_ERRORS);
}

function badRequest(errors: FieldError[]): CarillonError {
  return new CarillonError("bad_request", wrongFields(errors), errors);
}

function describe(issue: Issue, schema: Schema, base: readonly PropertyKey[]): FieldError[] {
  const path = [...base, ...issue.path];
  switch (issue.code) {
    case "unrecognized_keys":
      return issue.keys.map((key) => unknownField([...path, key], nearest(key, knownKeys(schema, path))));
    case "invalid_union":
      return describeUnion(issue, schema, path);
    case "invalid_key":
      return issue.issues.map(({ message }) => ({ path: fieldPath(path), message: `the key ${message}` }));
    default:
      return [{ path: fieldPath(path), message: issue.message }];
  }
}

function unknownField(path: readonly PropertyKey[], meant: string | undefined): FieldError {
  const hint = meant === undefined ? "" : `; did you mean "${meant}"?`;
  return { path: fieldPath(path), message: `unknown field${hint}` };
}

// An alternative that accepts this type of value names the error inside it; the others only say that they
// expect another type.
function describeUnion(
  issue: z.core.$ZodIssueInvalidUnion,
  schema: Schema,
  path: readonly PropertyKey[],
): FieldError[] {
  const typeOf = (inner: Issue) =>
    inner.code === "invalid_type" && inner.path.length === 0 ? [inner.expected] : [];
  const meant = issue.errors.find((issues) => issues.flatMap(typeOf).length === 0);
  if (meant !== undefined) return meant.flatMap((inner) => describe(inner, schema, path));
  const expected = issue.errors.flat().flatMap(typeOf);
  return [{ path: fieldPath(path), message: wrongType({ input: issue.input, expected }) }];
}

/** Returns the keys that a schema knows at a path. */
function knownKeys(schema: Schema, path: readonly PropertyKey[]): string[] {
  const { def } = (schema as z.core.$ZodTypes)._zod;
  const [head, ...rest] = path;
  switch (def.type) {
    case "object": {
      if (head === undefined) return Object.keys(def.shape);
      const inner = def.shape[String(head)] ?? def.catchall;
      return inner === undefined ? [] : knownKeys(inner, rest);
    }
    case "record":
      return head === undefined ? [] : knownKeys(def.valueType, rest);
    case "array":
      return head === undefined ? [] : knownKeys(def.element, rest);
    case "union":
      return def.options.flatMap((option) => knownKeys(option, path));
    case "intersection":
      return [...knownKeys(def.left, path), ...knownKeys(def.right, path)];
    case "pipe":
      return [...knownKeys(def.in, path), ...knownKeys(def.out, path)];
    case "optional":
    case "nullable":
    case "default":
    case "prefault":
    case "nonoptional":
    case "readonly":
    case "catch":
      return knownKeys(def.innerType, path);
    case "lazy":
      return knownKeys(def.getter(), path);
    default:
      return [];
  }
}

const NO_QUERY = z.strictObject({});

/** Refuses unknown queries, bodies and idempotency keys on all routes that are registered after this call. */
export function refuseUnknownInput(app: FastifyInstance): void {
  app.addHook("onRoute", (route) => {
    route.schema = { ...route.schema, querystring: route.schema?.querystring ?? NO_QUERY };
  });
  app.addHook("preValidation", async (request) => {
    refuseBody(request);
    refuseKey(request);
  });
}

// A client that sends a body expects an effect, such as a rerun with another env.
function refuseBody({ body, routeOptions }: FastifyRequest): void {
  if (routeOptions.schema?.body !== undefined || body === undefined || body === null) return;
  throw new CarillonError("bad_request", "This call accepts no body: leave it out.");
}

// A client that sends a key relies on it when it retries. Calls other than POST are idempotent without a key.
function refuseKey({ headers, method, routeOptions }: FastifyRequest): void {
  if (method !== "POST" || routeOptions.schema?.headers !== undefined) return;
  if (headers["idempotency-key"] === undefined) return;
  throw new CarillonError(
    "bad_request",
    "This call accepts no Idempotency-Key; only POST /api/v1/jobs/{name}/trigger does.",
  );
}
