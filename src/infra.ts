/** The infrastructure that most functions need: the database, the queue, and the signals between processes. */
import type { Database } from "./postgres/client.ts";
import type { Queue } from "./queue/queue.ts";
import type { Signals } from "./queue/signals.ts";

/** There is one per process; service.ts opens and closes it. */
export interface Infra {
  db: Database;
  queue: Queue;
  signals: Signals;
}
