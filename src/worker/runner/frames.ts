/** The protocol between worker and runner: frames on one socket, each with length, type, command number and payload. */

/** Frame types: the worker sends those below 10, the runner sends the others. */
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

/** Output bytes of one command that may be unconsumed; the worker returns credit as it consumes them. */
export const CREDIT_BYTES = 131_072;

export type Command = { kind: "shell"; text: string } | { kind: "argv"; argv: readonly string[] };

/** Payload of `start`: what to run. */
export interface StartOrder {
  command: Command;
  /** The whole environment of the command; nothing of ours is added. */
  env: Record<string, string>;
  cwd: string;
  /** The account that the command runs as; our own when absent. */
  user?: string;
  /** A user id that no command may have. */
  refusedUid?: number;
  /** Names of variables in `env` whose values together identify the processes of this command. */
  marker: readonly string[];
  /** Absent when the command needs no lease. */
  lease?: Lease;
}

/** Payload of `lease`, which extends the one in `start`: how long the command may run. */
export interface Lease {
  /** On the clock of `monotonicMs`. */
  untilMs: number;
}

/** Payload of `signal`: SIGTERM goes to the process group; SIGKILL ends the command and everything it started. */
export interface SignalOrder {
  signal: "SIGTERM" | "SIGKILL";
}

/** Payload of `credit`: bytes of output that the worker has consumed. */
export interface Credit {
  bytes: number;
}

/** Says why a command could not be started, with the exit code that a shell would give. */
export type StartFailure = { kind: "start_failed"; code: 126 | 127; message: string };

/** The machine has no resources for one more command, such as open files. The command is not to blame. */
export type NoResources = { kind: "no_resources"; message: string };

/** How the process of a command ended. */
export type ProcessEnd =
  | { kind: "exited"; code: number }
  | { kind: "signalled"; signal: NodeJS.Signals; number: number };

/** Payload of `exited`: all output was sent before it, and no process of the command is left. */
export type CommandExit =
  | StartFailure
  | NoResources
  /** `signalSent`: a `signal` frame arrived before the process ended. */
  | (ProcessEnd & { signalSent: boolean })
  | { kind: "lease_expired" };

/** Payload of `ready`. */
export interface Ready {
  /** The runner has loaded Node's TypeScript compiler, which stays in its memory. The next one finds the compiled code. */
  hasCompiler: boolean;
}

/** The payload of `started` is a ProcessId; `ping` and `pong` carry nothing. */
export interface Frame {
  type: FrameType;
  command: number;
  payload: Buffer;
}

const HEADER_BYTES = 9;

/** Milliseconds on a clock that all processes of this machine share and nobody can set. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint() / 1_000n) / 1_000;
}

/** Encodes a frame. Bytes are copied; an object becomes JSON. */
export function encodeFrame(type: FrameType, command: number, payload: Buffer | object): Buffer {
  const body = Buffer.isBuffer(payload) ? payload : Buffer.from(JSON.stringify(payload));
  const frame = Buffer.allocUnsafe(HEADER_BYTES + body.length);
  frame.writeUInt32LE(body.length, 0);
  frame.writeUInt8(type, 4);
  frame.writeUInt32LE(command, 5);
  body.copy(frame, HEADER_BYTES);
  return frame;
}

/** Decodes the JSON of a frame. The sender is the other half of this program, so the type is trusted. */
export function decodePayload<T>({ payload }: Frame): T {
  return JSON.parse(payload.toString()) as T;
}

/** Splits a stream of chunks into frames. Payloads may share the memory of a chunk. */
export function createFrameReader(onFrame: (frame: Frame) => void): (chunk: Buffer) => void {
  /** The beginning of a frame that came in several chunks; its own memory once its length is known. */
  let begun = Buffer.alloc(0);
  let begunBytes = 0;
  return (chunk) => {
    let rest = chunk;
    while (rest.length > 0) {
      if (begunBytes === 0 && rest.length >= HEADER_BYTES && rest.length >= lengthOf(rest)) {
        const length = lengthOf(rest);
        onFrame(frameOf(rest.subarray(0, length)));
        rest = rest.subarray(length);
        continue;
      }
      const wanted = begunBytes < HEADER_BYTES ? HEADER_BYTES : lengthOf(begun);
      if (begun.length < wanted) {
        const larger = Buffer.allocUnsafeSlow(wanted);
        begun.copy(larger, 0, 0, begunBytes);
        begun = larger;
      }
      const taken = rest.copy(begun, begunBytes, 0, wanted - begunBytes);
      begunBytes += taken;
      rest = rest.subarray(taken);
      if (begunBytes < HEADER_BYTES || begunBytes < lengthOf(begun)) continue;
      const whole = begun;
      begun = Buffer.alloc(0);
      begunBytes = 0;
      onFrame(frameOf(whole));
    }
  };
}

function lengthOf(frame: Buffer): number {
  return HEADER_BYTES + frame.readUInt32LE(0);
}

function frameOf(whole: Buffer): Frame {
  const payload = whole.subarray(HEADER_BYTES);
  return { type: whole.readUInt8(4) as FrameType, command: whole.readUInt32LE(5), payload };
}
