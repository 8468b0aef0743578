/** Room for new connections when many are slow: who waits longest, holds most, or takes nothing gives way. */

import type { Server } from "node:http";
import type { Socket } from "node:net";
import { normalizeIP } from "@fastify/rate-limit";

export interface Room {
  /** With more connections than this, each new one takes the place of another. */
  most: number;
  /** So many may wait for a request, however many are being answered; at least 1 and at most `most`. */
  waiting: number;
  /** A peer that takes nothing of its answer for so long, in ms, is cut off. */
  stallTimeout: number;
}

interface Connection {
  socket: Socket;
  /** Where its requests come from: with TLS not the same socket. */
  carrier: Socket;
  /** Answers under way: pipelined requests have several. */
  answers: number;
  /** What the peer had taken at the last look. */
  taken: string;
  /** Looks since then at which it had taken nothing. */
  still: number;
}

/** A stall is seen at most this part of its time too late. */
const LOOKS = 6;

const holders = new WeakMap<Socket, string>();

/** Says whose calls a connection carries now: an address, or the id of a token. */
export function holdBy(socket: Socket, holder: string): void {
  holders.set(socket, holder);
}

/**
 * Closes a connection for each new one beyond `most`: the one that has waited longest for a request or, where few wait,
 * the one that has been answered longest of whoever holds most. So neither many idle connections nor many that are
 * being answered keep others out.
 */
export function keepRoom(server: Server, room: Room): void {
  const open = new Map<string, Connection>();
  const waiting = new Set<Connection>();
  const answered = new Set<Connection>();

  function forget(key: string, connection: Connection): void {
    waiting.delete(connection);
    answered.delete(connection);
    if (open.get(key) === connection) open.delete(key);
  }

  server.on("connection", (socket: Socket) => {
    const key = nameOf(socket);
    const connection = { socket, carrier: socket, answers: 0, taken: "", still: 0 };
    open.set(key, connection);
    waiting.add(connection);
    socket.once("close", () => forget(key, connection));
    if (open.size <= room.most) return;
    const [longest] = waiting.size > room.waiting ? waiting : ofTheLargest(answered);
    if (longest === undefined) return;
    // At once, since others may connect before it is closed.
    forget(nameOf(longest.socket), longest);
    longest.socket.destroy();
  });

  server.on("request", ({ socket }, response) => {
    const key = nameOf(socket);
    const connection = open.get(key);
    if (connection === undefined) return;
    connection.carrier = socket;
    connection.answers += 1;
    waiting.delete(connection);
    answered.add(connection);
    response.once("close", () => {
      connection.answers -= 1;
      if (connection.answers > 0 || open.get(key) !== connection) return;
      answered.delete(connection);
      waiting.add(connection);
    });
  });

  cutStalled(server, answered, room.stallTimeout);
}

function cutStalled(server: Server, answered: ReadonlySet<Connection>, timeout: number): void {
  const timer = setInterval(() => {
    for (const connection of answered) {
      const left = leftOf(connection);
      const taken = `${connection.carrier.bytesWritten} ${left}`;
      // A follower of a silent run has taken all that there is.
      connection.still = left > 0 && taken === connection.taken ? connection.still + 1 : 0;
      connection.taken = taken;
      if (connection.still >= LOOKS) connection.socket.destroy();
    }
  }, timeout / LOOKS).unref();
  server.once("close", () => clearInterval(timer));
}

/** Bytes of answers that the peer has not taken. */
function leftOf({ socket, carrier }: Connection): number {
  // The public count falls when a whole write is done, which may be megabytes; this is what Node's own timeouts see.
  const { _handle } = socket as Socket & { _handle?: { writeQueueSize?: number } | null };
  return carrier.writableLength + (_handle?.writeQueueSize ?? 0);
}

function ofTheLargest(connections: Iterable<Connection>): readonly Connection[] {
  let largest: readonly Connection[] = [];
  for (const held of Map.groupBy(connections, holderOf).values()) {
    if (held.length > largest.length) largest = held;
  }
  return largest;
}

function holderOf({ carrier }: Connection): string {
  return holders.get(carrier) ?? normalizeIP(carrier.remoteAddress ?? "unknown");
}

// With TLS the requests have another socket than the connections, of the same peer.
function nameOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}
