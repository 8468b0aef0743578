/** Values for fast-check that a JSON schema of the OpenAPI document allows. */
import fc from "fast-check";
import { document, type Schema } from "./openapi-document.ts";

const MAX_OPTIONAL = 3;

/** A value of the schema; what its texts mean may still be wrong. */
export function valueFor(schema: Schema): fc.Arbitrary<unknown> {
  if (schema.$ref !== undefined)
    return valueFor(document.components.schemas[schema.$ref.split("/").at(-1) ?? ""] ?? {});
  const { example, anyOf, enum: values } = schema;
  if (anyOf !== undefined) return fc.oneof(...(anyOf as Schema[]).map(valueFor));
  if (values !== undefined) return fc.constantFrom(...(values as unknown[]));
  const typed = typedValue(schema);
  return example === undefined ? typed : fc.oneof(fc.constant(example), { weight: 2, arbitrary: typed });
}

function typedValue(schema: Schema): fc.Arbitrary<unknown> {
  switch (schema["type"]) {
    case "string":
      return textOf(schema);
    case "integer":
      return fc.integer({ min: Number(schema["minimum"] ?? -5), max: Number(schema["maximum"] ?? 1_000) });
    case "number":
      return fc.double({
        min: Number(schema["minimum"] ?? -5),
        max: Number(schema["maximum"] ?? 5),
        noNaN: true,
      });
    case "boolean":
      return fc.boolean();
    case "array":
      return fc.array(valueFor((schema["items"] as Schema | undefined) ?? {}), {
        minLength: Number(schema["minItems"] ?? 0),
        maxLength: 3,
      });
    case "object":
      return objectOf(schema);
    default:
      return fc.jsonValue();
  }
}

function textOf({ example, pattern, minLength = 0, maxLength = 20 }: Schema): fc.Arbitrary<string> {
  const lengths = { minLength: Number(minLength), maxLength: Math.min(50, Number(maxLength)) };
  const any = fc.string({ ...lengths, unit: "grapheme" });
  // What has an example is more than its schema can say, such as a cron expression, or has a pattern that
  // fast-check cannot make texts for.
  if (example !== undefined) {
    const like =
      pattern === undefined ? [] : [any.filter((text) => new RegExp(String(pattern), "u").test(text))];
    return fc.oneof(fc.constant(String(example)), ...like);
  }
  if (pattern === undefined) return any;
  return fc.stringMatching(new RegExp(String(pattern))).map((text) => text.slice(0, lengths.maxLength));
}

function objectOf(schema: Schema): fc.Arbitrary<object> {
  const properties = (schema["properties"] ?? {}) as Record<string, Schema>;
  const required = (schema["required"] ?? []) as string[];
  const optional = Object.keys(properties).filter(
    (name) => !required.includes(name) && properties[name]?.["not"] === undefined,
  );
  const valuesOf = (names: string[]) =>
    fc.record(Object.fromEntries(names.map((name) => [name, valueFor(properties[name] ?? {})])));
  const known = fc
    .subarray(optional, { maxLength: Math.min(MAX_OPTIONAL, optional.length) })
    .chain((some) => valuesOf([...required, ...some]));
  const { propertyNames = {}, additionalProperties } = schema as Record<string, Schema | undefined>;
  if (!additionalProperties) return known;
  const more = fc.dictionary(textOf(propertyNames), valueFor(additionalProperties), { maxKeys: 3 });
  return fc.tuple(known, more).map(([fields, others]) => ({ ...fields, ...others }));
}
