/** When a peer counts as taking nothing: neither while it takes a byte now and then, nor while there is nothing. */
import { EventEmitter } from "node:events";
import type { Server } from "node:http";
import type { Socket } from "node:net";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { keepRoom } from "../../../src/api/plugins/connections.ts";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** A connection that is being answered, with so much left to take. */
function answered(left: number) {
  const server = new EventEmitter();
  keepRoom(server as Server, { most: 10, waiting: 1, stallTimeout: 30_000 });
  const handle = { writeQueueSize: left };
  const fake = { remoteAddress: "192.0.2.1", remotePort: 1, bytesWritten: left, writableLength: left };
  const destroy = vi.fn();
  const socket = Object.assign(new EventEmitter(), fake, { _handle: handle, destroy });
  server.emit("connection", socket as unknown as Socket);
  server.emit("request", { socket }, new EventEmitter());
  return { destroy, handle };
}

it("a peer that takes nothing is cut after 30 s", () => {
  const { destroy } = answered(100);
  vi.advanceTimersByTime(30_000);
  expect(destroy).not.toHaveBeenCalled();
  vi.advanceTimersByTime(5_000);
  expect(destroy).toHaveBeenCalled();
});

it("one that takes a byte of a single write each 25 s lives", () => {
  const { destroy, handle } = answered(100);
  for (let i = 0; i < 20; i++) {
    handle.writeQueueSize -= 1;
    vi.advanceTimersByTime(25_000);
  }
  expect(destroy).not.toHaveBeenCalled();
});

it("one that has taken all lives", () => {
  const { destroy } = answered(0);
  vi.advanceTimersByTime(3_600_000);
  expect(destroy).not.toHaveBeenCalled();
});
