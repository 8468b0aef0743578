/** What every verb works on: the database, the queue, and the signals between processes. */
import type { Database } from "./postgres/client.ts";
import type { Queue } from "./queue/queue.ts";
import type { Signals } from "./queue/signals.ts";

/** One for each process; made and closed by service.ts. */
export interface Infra {
  db: Database;
  queue: Queue;
  signals: Signals;
}
