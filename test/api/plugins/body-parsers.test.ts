/** Which bodies are taken, what they become, and how the bad ones are refused. */
import fc from "fast-check";
import type { FastifyInstance } from "fastify";
import request from "supertest";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { stringify } from "yaml";
import { BEARER, listen } from "../../support/tiny-api.ts";

let app: FastifyInstance;
beforeAll(async () => {
  ({ app } = await listen());
});
afterAll(() => app.close());

const JSON_TYPE = "application/json";
const YAML_TYPE = "application/yaml";

async function post(type: string, body: string | Buffer, encoding?: string) {
  const call = request(app.server).post("/echo").set("Authorization", BEARER).set("Content-Type", type);
  if (encoding !== undefined) call.set("Content-Encoding", encoding);
  // superagent would encode a string by its own idea of the type.
  return call.serialize((text) => text).send(body as string);
}

async function refusal(type: string, body: string | Buffer): Promise<string> {
  const answer = await post(type, body);
  expect(answer.body).toMatchObject({ status: 400, code: "malformed_body" });
  return answer.body.detail;
}

describe("content types", () => {
  const json = [JSON_TYPE, "application/merge-patch+json", "Application/JSON", `${JSON_TYPE}; charset=utf-8`];
  const yaml = [YAML_TYPE, "text/yaml", "application/x-yaml", "text/x-yaml", "application/openapi+yaml"];
  const more = [
    `${JSON_TYPE};charset="UTF-8"`,
    `${JSON_TYPE} ; charset=utf8`,
    `${YAML_TYPE}; charset=UTF-8; a=b`,
  ];
  test.each([...json, ...yaml, ...more])("%s is read", async (type) => {
    expect((await post(type, '{"a": [1]}')).body).toEqual({ body: { a: [1] } });
  });

  const browsers = ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain"];
  const near = [
    "text/json",
    "application/jsonp",
    "application/json5",
    "application/json/x",
    "xapplication/json",
  ];
  const charsets = [
    `${JSON_TYPE}; charset=utf-16`,
    `${YAML_TYPE}; charset=latin1`,
    `${JSON_TYPE};a=b;CHARSET=x`,
  ];
  const broken = ["", "json", "/", "application/", "application/ json", "application/json\tx", "*/*"];
  test.each([...browsers, ...near, ...charsets, ...broken])("%j is refused and told how", async (type) => {
    const { body } = await post(type, '{"a": 1}');
    expect(body).toMatchObject({ status: 415, code: "unsupported_media_type" });
    expect(body.detail).toMatch(/curl --json .*application\/yaml/);
  });

  test("a compressed body is refused", async () => {
    expect((await post(JSON_TYPE, "{}", "gzip")).status).toBe(415);
  });

  test.each([JSON_TYPE, YAML_TYPE, "application/x-www-form-urlencoded"])(
    "an empty body of type %s counts as no body",
    async (type) => {
      expect((await post(type, "")).body).toEqual({ body: "absent" });
    },
  );
});

describe("JSON", () => {
  test.each([
    ["not JSON", '{"a":', "not JSON"],
    ["two values", "{} {}", "not JSON"],
    ["a comment", "// a\n{}", "not JSON"],
    ["NaN", '{"a": NaN}', "not JSON"],
    ["a key given twice", '{"a": {"b": 1,\n"\\u0062": 2}}', "Line 2"],
    ["__proto__", '{"a": [{"__proto__": {"x": 1}}]}', "a.0.__proto__"],
    ["constructor", '{"constructor": 1}', "constructor"],
    ["NUL", '{"a": ["\\u0000"]}', "a.0: must not contain NUL"],
    ["NUL in a key", '{"a": {"b\\u0000": 1}}', "the key must not contain NUL"],
    ["half a pair", '{"a": {"b": "x\\ud800"}}', "a.b: must not contain half a surrogate"],
    ["half a pair in a key", '{"\\udc00": 1}', "the key must not contain half"],
    ["infinity", '{"a": 1e400}', "a: must be a finite number; text must be in quotes"],
    ["33 levels", `${"[".repeat(33)}${"]".repeat(33)}`, "32 levels"],
    ["100,000 levels", `${"[".repeat(100_000)}${"]".repeat(100_000)}`, "32 levels"],
    ["an open end", "[".repeat(100_000), "not JSON"],
    ["latin1", Buffer.from('{"a": "\u00e9"}', "latin1"), "UTF-8"],
    ["UTF-16", Buffer.from('\ufeff{"a": 1}', "utf16le"), "UTF-8"],
  ])("%s is refused", async (_, body, detail) => {
    expect(await refusal(JSON_TYPE, body)).toContain(detail);
  });

  test.each([
    ["a byte order mark", '\ufeff{"a": 1}', { a: 1 }],
    ["32 levels", `${"[".repeat(32)}${"]".repeat(32)}`, JSON.parse(`${"[".repeat(32)}${"]".repeat(32)}`)],
    ["quotes and brackets in text", '{"a\\"": "]}\\\\", "b": ":["}', { 'a"': "]}\\", b: ":[" }],
    ["the same key in two objects", '[{"a": 1}, {"a": {"a": 2}}]', [{ a: 1 }, { a: { a: 2 } }]],
    ["a whole surrogate pair", '"\\ud83d\\udd14"', "🔔"],
  ])("%s is fine", async (_, body, value) => {
    expect((await post(JSON_TYPE, body)).body).toEqual({ body: value });
  });
});

describe("YAML", () => {
  const bomb = Array.from({ length: 9 }, (_, i) => `a${i + 1}: &a${i + 1} [${`*a${i}, `.repeat(10)}]`);
  const merges = Array.from(
    { length: 9 },
    (_, i) => `a${i + 1}: &a${i + 1} {<<: [${`*a${i}, `.repeat(10)}]}`,
  );
  test.each([
    ["a syntax error", "a: [1\nb: 2", "Line 2, column 1:"],
    ["a key given twice", "jobs:\n  a: 1\n  a: 2\n", 'Line 3, column 3: The key "a" appears twice'],
    ["two documents", "a: 1\n---\nb: 2\n", "Line 2, column 1: Only one document"],
    ["an unquoted cron", "cron: * * * * *", "must be quoted"],
    ["an unquoted step", "cron: */5 * * * *", "must be quoted"],
    ["an unknown anchor", "a: *b", "no anchor &b before this"],
    ["a custom tag", "a: !foo 1", "Unresolved tag"],
    ["a tag of another schema", "a: !!binary aGk=", "Unresolved tag"],
    ["a set", "a: !!set {b: null}", "Unresolved tag"],
    ["a key that is a list", "? [a]\n: 1", "A key must be plain text"],
    ["infinity", "a: .inf", "a: must be a finite number; text must be in quotes"],
    ["NaN", "a: [.nan]", "a.0: must be a finite number; text must be in quotes"],
    ["1e400", "a: 1e400", "a: must be a finite number; text must be in quotes"],
    ["NUL", 'a: "\\0"', "a: must not contain NUL"],
    ["half a pair", 'a: "\\ud800"', "a: must not contain half"],
    ["__proto__", "__proto__: {x: 1}", "__proto__"],
    ["a merge of __proto__", "a: &a {__proto__: 1}\nb: {<<: *a}", "__proto__"],
    ["a merge of text", "<<: text", "<< takes a map"],
    ["33 levels", "[".repeat(33) + "]".repeat(33), "32 levels"],
    ["100,000 levels of flow", "[".repeat(100_000), "32 levels"],
    ["100,000 levels of block", "- ".repeat(100_000), "32 levels"],
    ["100,000 levels of keys", "? ".repeat(100_000), "32 levels"],
    [
      "levels through aliases",
      Array.from({ length: 40 }, (_, i) => `- &a${i} [*a${i - 1}]`)
        .join("\n")
        .replace("*a-1", ""),
      "32 levels",
    ],
    ["an alias to its own parent", "a: &a [*a]", "32 levels"],
    ["a merge of itself", "a: &a {<<: *a}", "32 levels"],
    ["an alias bomb", `a0: &a0 [x]\n${bomb.join("\n")}`, "aliases expand to too many values"],
    ["a merge bomb", `a0: &a0 {x: 1}\n${merges.join("\n")}`, "aliases expand to too many values"],
    ["a heap of errors", "}".repeat(200_000), "too many parts"],
  ])("%s is refused", async (_, body, detail) => {
    expect(await refusal(YAML_TYPE, body)).toContain(detail);
  });

  test.each([
    ["words of YAML 1.1", "[no, yes, on, 0o17, 0x1f, 1_000, ~]", ["no", "yes", "on", 15, 31, "1_000", null]],
    ["the version directive", "%YAML 1.1\n---\na: no", { a: "no" }],
    ["number-like keys", "1: a\ntrue: b\n007: c", { "1": "a", true: "b", "007": "c" }],
    ["quoted <<", '"<<": 1', { "<<": 1 }],
    ["only a comment", "# nothing", "absent"],
    ["a byte order mark", "\ufeffa: 1", { a: 1 }],
    ["an anchor defined again", "- &a 1\n- &b [&a 2]\n- &a 3\n- *b\n- *a", [1, [2], 3, [2], 3]],
    ["a merge", "x: &x {a: 1, b: 1}\ny: {b: 2, <<: *x}", { x: { a: 1, b: 1 }, y: { a: 1, b: 2 } }],
    ["a merge of a list", "<<: [{a: 1}, {a: 2, b: 2}]\nc: 3", { a: 1, b: 2, c: 3 }],
    ["many aliases", `a: &a x\nb: [${"*a, ".repeat(5000)}]`, { a: "x", b: Array(5000).fill("x") }],
  ])("%s is fine", async (_, body, value) => {
    expect((await post(YAML_TYPE, body)).body).toEqual({ body: value });
  });
});

test("parses what JSON and YAML libraries write to the same value", async () => {
  const values = fc.jsonValue({ maxDepth: 5, stringUnit: "grapheme" });
  const harmless = values.filter((value) => !/\\u0000|"__proto__"|"constructor"/.test(JSON.stringify(value)));
  await fc.assert(
    fc.asyncProperty(harmless, async (value) => {
      const wire = JSON.parse(JSON.stringify(value)) ?? "absent";
      expect((await post(JSON_TYPE, JSON.stringify(value))).body).toEqual({ body: wire });
      expect((await post(YAML_TYPE, stringify(value))).body).toEqual({ body: wire });
    }),
    { numRuns: 100 },
  );
});

test("no text makes the service fail", async () => {
  const pieces = fc.constantFrom(
    ..."[]{}:,-?&*!|>'\"%@#\n\t \\a1~<",
    "<<",
    "&a",
    "*a",
    "---",
    "...",
    "\0",
    "\ufeff",
  );
  const texts = fc.array(pieces, { maxLength: 60 }).map((all) => all.join(""));
  await fc.assert(
    fc.asyncProperty(texts, fc.constantFrom(JSON_TYPE, YAML_TYPE), async (text, type) => {
      expect([200, 400]).toContain((await post(type, text)).status);
    }),
    { numRuns: 300 },
  );
});
