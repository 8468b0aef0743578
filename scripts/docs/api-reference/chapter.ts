/** What a chapter of docs/api.md is made of. */

/** The answer of `GET /api/v1/stats`, as far as the story waits for it. */
export interface Stats {
  runs: Record<"queued" | "running" | "retrying", number>;
  deliveries: { pending: number };
}

/** One curl line and what to say about it. */
export interface Call {
  /** As a reader's shell runs it; it may use $AUTH, $API, $BASE and what earlier calls keep. */
  curl: string;
  lead?: string;
  /** What it has to answer; 200 unless told. */
  status?: number;
  /** Shell variables to set from its answer, by path: `{ CHILD: "items.0.id" }`. */
  keep?: Record<string, string>;
  /** Curl lines to run before it, which the page does not show. */
  before?: string[];
  /** Waits before it until the service has come so far. */
  until?: (stats: Stats) => boolean;
  /** Receivers do not answer meanwhile, so that a delivery is caught under way. */
  holdReceiver?: true;
  /** Shows what the receiver got last, too. */
  showReceived?: true;
}

export interface Chapter {
  title: string;
  text: string;
  /** The calls by operationId of the OpenAPI document. */
  operations: Record<string, Call[]>;
}
