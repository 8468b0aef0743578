/** Defines the parts of a chapter of docs/api.md. */

/** The fields of `GET /api/v1/stats` that the story waits for. */
export interface Stats {
  runs: Record<"queued" | "running" | "retrying", number>;
  deliveries: { pending: number };
}

/** One curl line and what to say about it. */
export interface Call {
  /** The line for a reader's shell. It may use $AUTH, $API, $BASE and the variables that earlier calls set. */
  curl: string;
  lead?: string;
  /** The expected status; 200 by default. */
  status?: number;
  /** Shell variables to set from the response, by path: `{ CHILD: "items.0.id" }`. */
  keep?: Record<string, string>;
  /** Curl lines to run before this one. The page does not show them. */
  before?: string[];
  /** A condition to wait for before the call. */
  until?: (stats: Stats) => boolean;
  /** Whether receivers hold their responses during the call, so that it shows a delivery in progress. */
  holdReceiver?: true;
  /** Whether the page also shows the last request of the receiver. */
  showReceived?: true;
}

export interface Chapter {
  title: string;
  text: string;
  /** The calls, by the operationId in the OpenAPI document. */
  operations: Record<string, Call[]>;
}
