/** Parses request bodies: JSON or YAML in UTF-8, and nothing else. */
import type { FastifyInstance, FastifyRequest } from "fastify";
import { CarillonError, sentence, wrongFields } from "../../errors.ts";
import { findUnsafe } from "../../text/input.ts";
import { parseJson } from "../../text/parse-json.ts";
import { parseYaml } from "../../text/parse-yaml.ts";

const JSON_TYPE = /^application\/(?:[^/]+\+)?json$/;
const YAML_TYPE = /^(?:application|text)\/(?:x-)?yaml$|^application\/[^/]+\+yaml$/;
const CHARSET = /;\s*charset\s*=\s*"?([^";\s]*)/i;
const UTF8 = new TextDecoder("utf-8", { fatal: true });

/**
 * Replaces Fastify's body parsers by an allow-list. Bodies that a browser sends across sites without asking (forms,
 * text/plain) never reach a handler. An empty body of any type counts as no body.
 */
export function acceptBodies(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", { parseAs: "buffer" }, async (request: FastifyRequest, body: Buffer) =>
    body.length === 0 || request.is404 ? undefined : parseBody(request, body),
  );
}

/** The error for a body of another type; its detail says how to send a body. */
export function unsupportedMediaType(request: FastifyRequest): CarillonError {
  const type = request.headers["content-type"];
  const what = type === undefined ? "A body without Content-Type" : `Content type ${JSON.stringify(type)}`;
  const how =
    "send JSON (curl --json '{...}') or YAML (curl -H 'Content-Type: application/yaml' --data-binary @file)";
  return new CarillonError("unsupported_media_type", sentence(`${what} is not accepted: ${how}, in UTF-8`));
}

function parseBody(request: FastifyRequest, bytes: Buffer): unknown {
  const parse = parserFor(request);
  const value = parse(decode(bytes));
  const unsafe = findUnsafe(value);
  if (unsafe === undefined) return value;
  throw new CarillonError("malformed_body", wrongFields([unsafe]), [unsafe]);
}

function parserFor(request: FastifyRequest): (text: string) => unknown {
  const { "content-type": header = "", "content-encoding": encoding = "identity" } = request.headers;
  const type = request.mediaType ?? "";
  const charset = CHARSET.exec(header)?.[1] ?? "utf-8";
  if (encoding.toLowerCase() !== "identity") {
    throw new CarillonError(
      "unsupported_media_type",
      "A compressed body (Content-Encoding) is not accepted: send it as it is.",
    );
  }
  if (/^utf-?8$/i.test(charset)) {
    if (JSON_TYPE.test(type)) return parseJson;
    if (YAML_TYPE.test(type)) return parseYaml;
  }
  throw unsupportedMediaType(request);
}

function decode(bytes: Buffer): string {
  try {
    return UTF8.decode(bytes);
  } catch {
    throw new CarillonError("malformed_body", "The body is not valid UTF-8.");
  }
}
