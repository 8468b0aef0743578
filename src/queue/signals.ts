/** Sends hints between processes over one NOTIFY channel; a hint may get lost, so listeners also poll the database. */

import pg from "pg";
import { z } from "zod";
import { type Monitor, type Part, sleep } from "../lifecycle.ts";
import { type Database, noteForCommit, type SqlTx } from "../postgres/client.ts";
import { newId } from "../postgres/ids.ts";
import { sessionConfig } from "../postgres/session.ts";

const CHANNEL = "carillon";
const RECONNECT_MS = 500;
/** How often (ms) the listening connection is tested: it may be dead without an error. */
const PING_MS = 10_000;
/** A ping that takes longer (ms) means that the connection is lost. */
const PING_DEADLINE_MS = 5_000;
/**
 * Signals to other processes are sent at most this often (ms), and gathered in between: Postgres commits NOTIFY one at
 * a time.
 */
const GATHER_MS = 50;
/** The payload of NOTIFY must stay below 8,000 bytes. */
const MAX_LISTED_RUNS = 180;

export const Signal = z.discriminatedUnion("type", [
  /** A message can be claimed from the queue, at once or at a time (ms since the epoch). */
  z.object({ type: z.literal("queue"), queue: z.string(), at: z.number().optional() }),
  /** `ended`: the run has ended; otherwise it has only moved on. */
  z.object({ type: z.literal("run_changed"), run: z.string(), ended: z.boolean().optional() }),
  /** The worker of this run must end its command. */
  z.object({ type: z.literal("cancel"), run: z.string() }),
  /** These runs have new output; without a list, any run may have new output. */
  z.object({ type: z.literal("log"), runs: z.array(z.string()).optional() }),
  /** Not sent by a process: the connection was lost, and signals may have been missed. */
  z.object({ type: z.literal("missed") }),
]);
export type Signal = z.infer<typeof Signal>;
type Listener = (signal: Signal) => void;

/** The signals from all processes, this one included. */
export interface Signals extends Part {
  /** Calls `listener` for every signal; the returned function ends this. */
  subscribe(listener: Listener): () => void;
}

/** Sends a signal to every process once the caller's transaction has committed. */
export function publish(tx: SqlTx, signal: Signal): void {
  noteForCommit(tx, signal);
}

/** Signals which runs have new output. */
export function publishLog(tx: SqlTx, runs: readonly string[]): void {
  const listed = runs.length <= MAX_LISTED_RUNS && { runs: [...runs] };
  publish(tx, { type: "log", ...listed });
}

/**
 * Passes on the signals of this process' transactions, and listens for those of others on a connection of its own,
 * which it replaces when it is lost.
 */
export function openSignals(
  db: Database,
  connectionString: string,
  monitor: Monitor,
  { pingMs = PING_MS, deadlineMs = PING_DEADLINE_MS } = {},
): Signals {
  const listeners = new Set<Listener>();
  const emit = (signal: Signal) => {
    for (const listener of listeners) listener(signal);
  };
  const stop = new AbortController();
  const us = newId();
  const outbox = createOutbox(db, us, monitor, stop.signal);
  db.onCommit((notes) => {
    for (const note of notes) {
      // Nothing else leaves notes.
      const signal = note as Signal;
      emit(signal);
      outbox.add(signal);
    }
  });
  const listening = keepListening(
    () => listenUntilLost({ connectionString, pingMs, deadlineMs, us }, emit, monitor, stop.signal),
    monitor,
    stop.signal,
  );
  return {
    name: monitor.name,
    stopMs: 1_000,
    health: monitor.health,
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    async stop() {
      stop.abort();
      await listening;
    },
  };
}

/**
 * Sends signals to other processes: the first at once, those that follow it soon together. A signal that cannot be sent
 * is dropped, because their listeners also poll.
 */
function createOutbox(db: Database, us: string, monitor: Monitor, stop: AbortSignal) {
  const gathered = new Set<string>();
  let isResting = false;
  const send = () => {
    if (gathered.size === 0 || stop.aborted) return;
    const payloads = [...gathered];
    gathered.clear();
    isResting = true;
    const sent = db.sqlRead(
      (tx) => tx.$queryRaw`
        SELECT count(pg_notify(${CHANNEL}, payload))::int FROM unnest(${payloads}::text[]) payload`,
    );
    sent.catch(monitor.failed);
    setTimeout(() => {
      isResting = false;
      send();
    }, GATHER_MS);
  };
  return {
    add(signal: Signal) {
      gathered.add(JSON.stringify({ ...signal, from: us }));
      // With the other signals of the same commit.
      if (!isResting) queueMicrotask(() => isResting || send());
    },
  };
}

async function keepListening(
  listen: () => Promise<void>,
  monitor: Monitor,
  stop: AbortSignal,
): Promise<void> {
  while (!stop.aborted) {
    try {
      await listen();
    } catch (error) {
      monitor.failed(error);
      await sleep(RECONNECT_MS, stop);
    }
  }
}

async function listenUntilLost(
  {
    connectionString,
    pingMs,
    deadlineMs,
    us,
  }: { connectionString: string; pingMs: number; deadlineMs: number; us: string },
  emit: Listener,
  monitor: Monitor,
  stop: AbortSignal,
): Promise<void> {
  const client = new pg.Client({ ...sessionConfig(connectionString), query_timeout: deadlineMs });
  const lost = new AbortController();
  client.on("error", (error) => lost.abort(error));
  client.on("end", () => lost.abort(new Error("the listening connection has ended")));
  client.on("notification", ({ payload }) => {
    // Our own signals have been passed on already.
    if (payload?.includes(us)) return;
    const signal = Signal.safeParse(parseJson(payload));
    if (signal.success) emit(signal.data);
  });
  try {
    await client.connect();
    await client.query(`LISTEN ${CHANNEL}`);
    monitor.succeeded();
    emit({ type: "missed" });
    const ended = AbortSignal.any([stop, lost.signal]);
    while (!stop.aborted) {
      await sleep(pingMs, ended);
      lost.signal.throwIfAborted();
      if (!stop.aborted) await client.query("SELECT 1");
      monitor.succeeded();
    }
  } finally {
    client.removeAllListeners("end");
    await Promise.race([client.end().catch(() => undefined), sleep(1_000, stop)]);
  }
}

function parseJson(text: string | undefined): unknown {
  try {
    return JSON.parse(text ?? "");
  } catch {
    // Another program may use the same channel: ignore its payloads.
    return undefined;
  }
}
