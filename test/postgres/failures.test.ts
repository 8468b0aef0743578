/** Which errors mean that the database is away, busy, or had a conflict; made up ones, and those of a real server. */
import { afterAll, beforeAll, expect, it } from "vitest";
import { isConflict, isDatabaseAway, isTimeout } from "../../src/postgres/failures.ts";
import { type TestInfra, testInfra } from "../support/test-infra.ts";

let infra: TestInfra;
beforeAll(async () => {
  infra = await testInfra();
}, 30_000);
afterAll(() => infra?.[Symbol.asyncDispose]());

const withCode = (code: string) => Object.assign(new Error("x"), { code });
/** As Prisma reports the error of a raw query. */
const raw = (cause: object) =>
  Object.assign(withCode("P2010"), {
    meta: { driverAdapterError: Object.assign(new Error("y"), { cause }) },
  });

it.each([
  ...[
    "08000",
    "08006",
    "25006",
    "28P01",
    "3D000",
    "53300",
    "55000",
    "57P01",
    "57P03",
    "ECONNREFUSED",
    "P1001",
    "P2024",
  ].map((code) => [code, withCode(code), "away"]),
  ...["25P03", "55P03", "57014", "P2028"].map((code) => [code, withCode(code), "busy"]),
  ...["40P01", "40001", "P2034"].map((code) => [code, withCode(code), "conflict"]),
  ...["23505", "22P02", "42601", "P2002"].map((code) => [code, withCode(code), "none"]),
  ...[
    "Query read timeout",
    "Connection terminated unexpectedly",
    "Client has encountered a connection error and is not queryable",
    "Server has closed the connection",
    "timeout exceeded when trying to connect",
  ].flatMap((message) => [
    [message, new Error(message), "away"],
    [`${message}, in a raw query`, raw({ kind: "postgres", originalMessage: message }), "away"],
  ]),
  ["57P01 in a raw query", raw({ originalCode: "57P01" }), "away"],
  ["55P03 in a raw query", raw({ originalCode: "55P03" }), "busy"],
  ["23505 in a raw query", raw({ originalCode: "23505" }), "none"],
  ["no error", undefined, "none"],
] as [string, unknown, string][])("%s", (_, error, kind) => {
  expect(kindOf(error)).toBe(kind);
});

it("knows the errors of a session that the server ends, in every kind of query", async () => {
  const { db } = infra;
  const sleep = "SELECT 'asleep' FROM pg_sleep(30)";
  const queries = [
    db.prisma.$queryRawUnsafe(sleep),
    db.transaction((tx) => tx.$queryRawUnsafe(sleep)),
    db.sqlTransaction((tx) => tx.$queryRawUnsafe(sleep)),
    db.sqlRead((tx) => tx.$queryRawUnsafe(sleep)),
  ];
  const ended = Promise.allSettled(queries);
  const end = () =>
    db.prisma.$queryRaw<{ ended: boolean }[]>`
      SELECT pg_terminate_backend(pid) AS ended FROM pg_stat_activity
      WHERE datname = current_database() AND query LIKE '%asleep%' AND state = 'active' AND pid <> pg_backend_pid()`;
  let count = 0;
  await expect.poll(async () => (count += (await end()).length), { timeout: 10_000 }).toBe(queries.length);
  const kinds = (await ended).map((one) => (one.status === "rejected" ? kindOf(one.reason) : "no error"));
  expect(kinds).toEqual(queries.map(() => "away"));
});

it("knows the error of a statement that is cancelled", async () => {
  // The pool may still hold connections that the test before has ended.
  await using other = await testInfra();
  const cancelled = other.db.sqlTransaction(async (tx) => {
    await tx.$queryRaw`SELECT set_config('statement_timeout', '10ms', true)`;
    await tx.$queryRaw`SELECT pg_sleep(30)`;
  });
  expect(kindOf(await cancelled.catch((error: unknown) => error))).toBe("busy");
});

function kindOf(error: unknown): string {
  const kinds = [
    ...(isDatabaseAway(error) ? ["away"] : []),
    ...(isTimeout(error) ? ["busy"] : []),
    ...(isConflict(error) ? ["conflict"] : []),
  ];
  return kinds.join(" and ") || "none";
}
