/** What every use case works with. */
import { v7 as uuidv7 } from "uuid";
import type { Database, Tx } from "../db/client.ts";
import type { Engine } from "../engine/engine.ts";
import type { Signals } from "../engine/signals.ts";

export interface Deps {
  db: Database;
  engine: Engine;
  signals: Signals;
  /** The zone of jobs and schedules that name none. */
  defaultTimezone: string;
  /** A number in [0, 1); places delays within their jitter. */
  random: () => number;
  /** Waits before the tries of a delivery, in ms. */
  deliveryDelaysMs: readonly number[];
  /** Aborted when the service stops: whoever waits is answered as things stand. */
  closing: AbortSignal;
}

export type { Tx };

/** A new id; later ones sort after earlier ones. */
export function newId(): string {
  return uuidv7();
}
