/** What happens between the call of stop and its end. */
import { once } from "node:events";
import { connect } from "node:net";
import { expect, it } from "vitest";
import { openDatabase } from "../../src/postgres/client.ts";
import { freshDatabase } from "../support/fresh-database.ts";
import { startTestService } from "../support/test-service.ts";

it("starts no retry while a half-sent request still delays the stop", async () => {
  await using database = await freshDatabase();
  await using stack = new AsyncDisposableStack();
  const db = openDatabase(database.connectionString, { maxConnections: 1 });
  stack.defer(() => db.close());
  const service = await startTestService({ DATABASE_URL: database.connectionString });
  const socket = connect(Number(new URL(service.url).port), "127.0.0.1");
  stack.defer(() => void socket.destroy());
  await once(socket, "connect");
  socket.write("POST /api/v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n{");
  await service.client.putJob("flaky", { command: "exit 1", retry: { limit: 1, delay: "500ms" } });
  const { id } = await service.client.trigger("flaky");
  await expect.poll(async () => (await service.client.run(id)).state).toBe("retrying");

  const startedAt = performance.now();
  await service[Symbol.asyncDispose]();
  // Otherwise the retry was not due before the end of the stop, and this test has shown nothing.
  expect(performance.now() - startedAt).toBeGreaterThan(1_000);
  expect(await db.prisma.attempt.findMany({ select: { state: true } })).toEqual([{ state: "failed" }]);
});
