/** Parses YAML (1.2 core schema, one document, anchors and `<<`) in bounded time and memory. */
import {
  type Alias,
  Composer,
  type CST,
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  Lexer,
  LineCounter,
  Parser,
  visit,
  type YAMLError,
  type YAMLMap,
} from "yaml";
import { CarillonError, sentence } from "../errors.ts";
import { MAX_DEPTH, TOO_DEEP } from "./input.ts";
import { copyLiterals, noteLiteral } from "./literals.ts";

// The parser needs microseconds for each token and keeps an error for each bad one.
const MAX_TOKENS = 100_000;
// Aliases count as what they stand for: nine lines of YAML can stand for a thousand million nodes.
const MAX_NODES = 100_000;

const QUOTE_STARS = "text that begins with * must be quoted";

interface Reading {
  lines: LineCounter;
  /** The node that each alias stands for. */
  targets: ReadonlyMap<Alias, unknown>;
  nodes: number;
}

/** Returns the value of a YAML text; null if it is empty. Throws `malformed_body` with line and column. */
export function parseYaml(text: string): unknown {
  const lines = new LineCounter();
  const document = composeOne(text, lines);
  const fault = document.errors[0] ?? document.warnings[0];
  if (fault !== undefined) throw malformed(explain(fault), lines, fault.pos[0]);
  return read(document.contents, { lines, targets: aliasTargets(document), nodes: 0 }, 0);
}

function composeOne(text: string, lines: LineCounter): Document.Parsed {
  // readMap checks for duplicate keys: the library would compare each key with all others of its map.
  const composer = new Composer({
    version: "1.2",
    schema: "core",
    stringKeys: true,
    uniqueKeys: false,
    resolveKnownTags: false,
  });
  const [document, second] = composer.compose(tokens(text, lines), true, text.length);
  if (document === undefined) throw new TypeError("The YAML composer made no document");
  if (second !== undefined) throw malformed("Only one document is allowed", lines, second.range[0]);
  return document;
}

// The composer recurses and the parser does not, so depth must be limited here.
function* tokens(text: string, lines: LineCounter): Generator<CST.Token> {
  const parser = new Parser(lines.addNewLine);
  lines.addNewLine(0);
  let count = 0;
  for (const lexeme of new Lexer().lex(text)) {
    yield* parser.next(lexeme);
    if (parser.stack.length > 2 * MAX_DEPTH) throw malformed(TOO_DEEP, lines, parser.offset);
    if (++count > MAX_TOKENS) throw malformed("The document has too many parts", lines, parser.offset);
  }
  yield* parser.end();
}

// An anchor may be defined again further down; an alias refers to the last definition before it.
function aliasTargets(document: Document.Parsed): Map<Alias, unknown> {
  const anchors = new Map<string, unknown>();
  const targets = new Map<Alias, unknown>();
  visit(document, {
    Node(_, node) {
      if (isAlias(node)) targets.set(node, anchors.get(node.source));
      else if (node.anchor !== undefined) anchors.set(node.anchor, node);
    },
  });
  return targets;
}

/** @param depth how many arrays and objects enclose the node; it also stops an alias that contains itself */
function read(node: unknown, reading: Reading, depth: number): unknown {
  const { lines, targets } = reading;
  if (++reading.nodes > MAX_NODES)
    throw malformed("The aliases expand to too many values", lines, start(node));
  if (isAlias(node)) {
    const target = targets.get(node);
    if (target === undefined) {
      const detail = `There is no anchor &${node.source} before this; ${QUOTE_STARS}`;
      throw malformed(detail, lines, start(node));
    }
    return read(target, reading, depth);
  }
  if (isScalar(node)) return node.value;
  if (depth === MAX_DEPTH) throw malformed(TOO_DEEP, lines, start(node));
  if (isSeq(node)) return node.items.map((item) => read(item, reading, depth + 1));
  return isMap(node) ? readMap(node, reading, depth + 1) : null;
}

function readMap(map: YAMLMap, reading: Reading, depth: number): Record<string, unknown> {
  const seen = new Set<string>();
  const own: [string, unknown][] = [];
  const literals: [key: string, value: unknown, literal: string][] = [];
  const sources: Record<string, unknown>[] = [];
  for (const { key, value } of map.items) {
    const name = isScalar(key) ? String(key.value) : "";
    if (seen.has(name)) {
      throw malformed(`The key ${JSON.stringify(name)} appears twice in one map`, reading.lines, start(key));
    }
    seen.add(name);
    if (isScalar(key) && key.type === "PLAIN" && name === "<<") sources.push(...merge(value, reading, depth));
    else own.push([name, read(value, reading, depth)]);
    const target = isAlias(value) ? reading.targets.get(value) : value;
    if (isScalar(target) && target.source !== undefined) literals.push([name, target.value, target.source]);
  }
  const result = Object.fromEntries([...sources.flatMap((source) => Object.entries(source)), ...own]);
  for (const source of sources) copyLiterals(source, result);
  for (const [key, value, literal] of literals) noteLiteral(result, key, value, literal);
  return result;
}

/** The maps that `<<` merges, the last one first, because the first one wins (yaml.org/type/merge). */
function merge(node: unknown, reading: Reading, depth: number): Record<string, unknown>[] {
  const target = isAlias(node) ? reading.targets.get(node) : node;
  const sources = isSeq(target) ? target.items : [node];
  return sources.toReversed().map((source) => {
    const value = read(source, reading, depth);
    if (isMapValue(value)) return value;
    throw malformed("<< takes a map or a list of maps", reading.lines, start(node));
  });
}

function isMapValue(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

// The most likely mistake is an unquoted cron expression, which the parser takes for an alias.
function explain({ code, message }: YAMLError): string {
  if (code === "NON_STRING_KEY") return "A key must be plain text";
  return /alias/i.test(message) ? `${message}; ${QUOTE_STARS}` : message;
}

function start(node: unknown): number {
  return (isScalar(node) || isAlias(node) || isMap(node) || isSeq(node) ? node.range?.[0] : undefined) ?? 0;
}

function malformed(detail: string, lines: LineCounter, offset: number): CarillonError {
  const { line, col } = lines.linePos(offset);
  return new CarillonError("malformed_body", sentence(`Line ${line}, column ${col}: ${detail}`));
}
