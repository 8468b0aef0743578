/** Tests of messages that are put back, left out of a claim by their group, or postponed with their group. */
import { randomUUID } from "node:crypto";
import { expect, it } from "vitest";
import { DELIVERY_QUEUE } from "../../src/queue/messages.ts";
import { ClaimLost } from "../../src/queue/queue.ts";
import { type TestInfra, testInfra } from "../support/test-infra.ts";

const HOUR_MS = 3_600_000;

async function send({ db, queue }: TestInfra, group: string, startAfter?: Date): Promise<string> {
  const id = randomUUID();
  const message = { id, data: { message_id: id }, group, ...(startAfter && { startAfter }) };
  await db.transaction((tx) => queue.send(tx, DELIVERY_QUEUE, [message]));
  return id;
}

async function claimedIds({ queue }: TestInfra, without: string[] = []): Promise<string[]> {
  const messages = await queue.claim(DELIVERY_QUEUE, 10, undefined, without);
  return messages.map(({ id }) => id);
}

it("leaves the messages of some groups where they are", async () => {
  await using infra = await testInfra();
  const [one, other] = [await send(infra, "one"), await send(infra, "other")];
  expect(await claimedIds(infra, ["one", "none"])).toEqual([other]);
  expect(await claimedIds(infra)).toEqual([one]);
});

it("gives a message back, and takes no result of the earlier claim", async () => {
  await using infra = await testInfra();
  const { db, queue } = infra;
  const id = await send(infra, "one");
  const [earlier] = await queue.claim(DELIVERY_QUEUE, 1);
  if (earlier === undefined) throw new Error("nothing was claimed");
  expect(earlier.group).toBe("one");
  await db.sqlTransaction((tx) => queue.putBack(tx, [earlier]));
  const [later] = await queue.claim(DELIVERY_QUEUE, 1);
  expect(later?.id).toBe(id);
  await expect(db.sqlTransaction((tx) => queue.acknowledge(tx, earlier))).rejects.toThrow(ClaimLost);
  // Nor does it give back what somebody else has claimed.
  await db.sqlTransaction((tx) => queue.putBack(tx, [earlier]));
  expect(await claimedIds(infra)).toEqual([]);
});

it("postpones what is due of one group, and resumes that and nothing else", async () => {
  await using infra = await testInfra();
  const { db, queue } = infra;
  const group = { queueName: DELIVERY_QUEUE, group: "down" };
  const [claimed] = [await send(infra, "down")];
  expect(await claimedIds(infra)).toEqual([claimed]);
  const first = await send(infra, "down");
  const second = await send(infra, "down");
  const later = await send(infra, "down", new Date(Date.now() + HOUR_MS));
  const other = await send(infra, "up");

  expect(await db.sqlTransaction((tx) => queue.postpone(tx, group, HOUR_MS, 10))).toBe(2);
  expect(await claimedIds(infra)).toEqual([other]);
  const all = [first, second, later].map((id) => ({ id, queueName: DELIVERY_QUEUE }));
  expect(await db.sqlTransaction((tx) => queue.liveMessages(tx, all))).toEqual(
    new Set([first, second, later]),
  );

  expect(await db.sqlTransaction((tx) => queue.resume(tx, group, 1))).toBe(1);
  expect(await claimedIds(infra)).toEqual([first]);
  expect(await db.sqlTransaction((tx) => queue.resume(tx, group, 10))).toBe(1);
  expect(await claimedIds(infra)).toEqual([second]);
  expect(await db.sqlTransaction((tx) => queue.resume(tx, group, 10))).toBe(0);
});
