/** What worker and runner say to each other: frames on one socket, a length, a type, a command's number and a payload. */

/** The types of frame; the first five go to the runner, the others come from it. */
export const FRAME = {
  start: 1,
  signal: 2,
  credit: 3,
  lease: 4,
  ping: 5,
  ready: 11,
  started: 12,
  output: 13,
  exited: 14,
  pong: 15,
} as const;

export type FrameType = (typeof FRAME)[keyof typeof FRAME];

/** Output of one command that may be on its way, in bytes; the worker gives back what was consumed. */
export const CREDIT_BYTES = 131_072;

export type Command = { kind: "shell"; text: string } | { kind: "argv"; argv: readonly string[] };

/** start: what to run. */
export interface StartOrder {
  command: Command;
  /** Complete: nothing of our own environment is added. */
  env: Record<string, string>;
  cwd: string;
  /** The account that it runs as; absent: ours. */
  user?: string;
  /** Names of variables in `env` that together mark the processes of this command, and no others. */
  marker: readonly string[];
  /** Absent: the command needs no lease. */
  lease?: Lease;
}

/** lease: the command may run until then, on the clock of `monotonicMs`; sent again, it is longer. */
export interface Lease {
  untilMs: number;
}

/** signal: SIGTERM asks the group to end, SIGKILL ends the command with all that it has started. */
export interface SignalOrder {
  signal: "SIGTERM" | "SIGKILL";
}

/** credit: so many bytes of output were consumed. */
export interface Credit {
  bytes: number;
}

/** started: a pid comes again, pid and start time together do not. */
export interface Started {
  pid: number;
  /** In clock ticks since the machine started; 0 where the system does not tell. */
  startTime: number;
}

export type StartFailed = { kind: "start_failed"; code: 126 | 127; message: string };

/** How a command's own process ended. */
export type ProcessEnd =
  | { kind: "exited"; code: number }
  | { kind: "signalled"; signal: NodeJS.Signals; number: number };

/** exited: all output came before, and nothing of the command is left. */
export type Exited =
  | StartFailed
  /** A signal frame came before its end. */
  | (ProcessEnd & { signalSent: boolean })
  | { kind: "lease_over" };

export interface Frame {
  type: FrameType;
  command: number;
  payload: Buffer;
}

const HEADER_BYTES = 9;

/** Ms on a clock that all processes of this machine share and nobody can set. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint() / 1_000n) / 1_000;
}

/** A frame with bytes, which are copied, or with an object as JSON. */
export function encodeFrame(type: FrameType, command: number, payload: Buffer | object): Buffer {
  const body = Buffer.isBuffer(payload) ? payload : Buffer.from(JSON.stringify(payload));
  const frame = Buffer.allocUnsafe(HEADER_BYTES + body.length);
  frame.writeUInt32LE(body.length, 0);
  frame.writeUInt8(type, 4);
  frame.writeUInt32LE(command, 5);
  body.copy(frame, HEADER_BYTES);
  return frame;
}

/** The object in a frame. The sender is the other half of this very program, so it is what it says. */
export function decodePayload<T>({ payload }: Frame): T {
  return JSON.parse(payload.toString()) as T;
}

/** Cuts a stream of chunks, wherever they begin and end, into frames; payloads may share a chunk's memory. */
export function createFrameReader(onFrame: (frame: Frame) => void): (chunk: Buffer) => void {
  let held: Buffer[] = [];
  let heldBytes = 0;
  let wantedBytes = HEADER_BYTES;
  return (chunk) => {
    held.push(chunk);
    heldBytes += chunk.length;
    // A large frame comes in many chunks: they are joined once, when it is whole or its length is known.
    if (heldBytes < wantedBytes) return;
    let rest = held.length === 1 ? chunk : Buffer.concat(held);
    for (wantedBytes = HEADER_BYTES; rest.length >= HEADER_BYTES; wantedBytes = HEADER_BYTES) {
      wantedBytes += rest.readUInt32LE(0);
      if (rest.length < wantedBytes) break;
      const payload = rest.subarray(HEADER_BYTES, wantedBytes);
      onFrame({ type: rest.readUInt8(4) as FrameType, command: rest.readUInt32LE(5), payload });
      rest = rest.subarray(wantedBytes);
    }
    held = rest.length > 0 ? [rest] : [];
    heldBytes = rest.length;
  };
}
