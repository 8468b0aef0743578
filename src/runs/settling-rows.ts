/** Locks and reads what the settlements of a batch need. */
import { type ActionOptions, actionOptions, type RetryPolicy } from "../jobs/rules/definition.ts";
import type { OutputPiece } from "../logs/rules/output.ts";
import type { SqlTx } from "../postgres/client.ts";
import type { SettlingAction } from "./rules/settlement.ts";
import type { AttemptOutcome, RunState } from "./rules/states.ts";

/** A locked run whose attempt has ended. */
export interface SettlingRow {
  id: string;
  state: RunState;
  messageId: string | null;
  jobId: string;
  jobName: string;
  jobDeleted: boolean;
  /** Whether the job has a concurrency limit. */
  jobLimited: boolean;
  scheduleId: string;
  revisionId: string;
  pool: string;
  retry: RetryPolicy;
  triggeredAt: Date;
  triggeredBy: string;
  depth: number;
  /** The first run of its chain, which may be the run itself. */
  rootId: string;
  attempt: number;
  fireEvents: boolean;
  cancelRequested: boolean;
  reason: string | null;
  /** The frozen body of the event that triggered the run; null also when no action can need it. */
  parentBody: string | null;
  /** The running attempt. */
  attemptId: string | null;
}

/** The kind of events that can fire after an outcome. */
const POSSIBLE_EVENTS: Record<AttemptOutcome["state"], "success" | "failure" | "none"> = {
  succeeded: "success",
  failed: "failure",
  timed_out: "failure",
  start_failed: "failure",
  lost: "failure",
  cancelled: "none",
  handed_back: "none",
};

/**
 * Locks the jobs that settlements may change: the jobs of the runs if they have a limit, and the jobs that their
 * actions may trigger. Returns their ids. All of them are locked together, before the runs.
 */
export async function lockJobsOf(
  tx: SqlTx,
  ended: readonly ({ runId: string } & Pick<AttemptOutcome, "state">)[],
): Promise<Set<string>> {
  const events = ended.map(({ state }) => POSSIBLE_EVENTS[state]);
  const rows = await tx.$queryRaw<{ id: string }[]>`
    WITH ended AS (
      SELECT j.id, j.concurrency_limit, j.schedule_id, run.revision_id,
        CASE WHEN run.fire_events THEN outcome.events ELSE 'none' END AS events
      FROM unnest(${ended.map(({ runId }) => runId)}::uuid[], ${events}::text[]) outcome (run_id, events)
      JOIN run ON run.id = outcome.run_id AND run.id = ANY(${ended.map(({ runId }) => runId)}::uuid[])
      JOIN job j ON j.id = run.job_id
    ), touched AS (
      SELECT id FROM ended WHERE concurrency_limit IS NOT NULL
      UNION SELECT a.target_job_id FROM ended JOIN event_action a ON a.job_revision_id = ended.revision_id
        WHERE a.target_job_id IS NOT NULL
          AND ended.events = CASE WHEN a.event = 'on_success' THEN 'success' ELSE 'failure' END
      UNION SELECT a.target_job_id FROM ended JOIN event_action a ON a.schedule_id = ended.schedule_id
        WHERE a.target_job_id IS NOT NULL
          AND ended.events = CASE WHEN a.event = 'on_success' THEN 'success' ELSE 'failure' END
    )
    SELECT id FROM job WHERE id IN (SELECT id FROM touched) ORDER BY id FOR NO KEY UPDATE`;
  return new Set(rows.map((row) => row.id));
}

type SettlingQueryRow = Omit<SettlingRow, "retry"> & {
  retryLimit: number;
  delayMs: number;
  backoff: RetryPolicy["backoff"];
  maxDelayMs: number | null;
  jitter: number;
  exitCodes: number[];
};

/** Locks runs, together with the first runs of chains that may grow, and reads them by id. */
export async function readSettlingRuns(
  tx: SqlTx,
  runIds: readonly string[],
): Promise<Map<string, SettlingRow>> {
  const ids = [...runIds];
  const [, rows] = await Promise.all([
    tx.$queryRaw`
      SELECT id FROM run WHERE id = ANY(ARRAY(
        SELECT unnest(${ids}::uuid[])
        UNION SELECT run.root_id FROM run JOIN job j ON j.id = run.job_id WHERE run.id = ANY(${ids}::uuid[]) AND EXISTS (
          SELECT FROM event_action a WHERE a.target_job_id IS NOT NULL AND a.job_revision_id = run.revision_id
          UNION ALL SELECT FROM event_action a WHERE a.target_job_id IS NOT NULL AND a.schedule_id = j.schedule_id
        )
      )) ORDER BY id FOR UPDATE`,
    // A second statement sees what was committed while the first one waited.
    tx.$queryRaw<SettlingQueryRow[]>`
      SELECT run.id, run.state, run.message_id AS "messageId", run.job_id AS "jobId", j.name AS "jobName",
        j.deleted_at IS NOT NULL AS "jobDeleted", j.concurrency_limit IS NOT NULL AS "jobLimited",
        j.schedule_id AS "scheduleId", run.revision_id AS "revisionId", r.pool, r.retry_limit AS "retryLimit",
        r.retry_delay_ms AS "delayMs", r.retry_backoff AS backoff, r.retry_max_delay_ms AS "maxDelayMs",
        r.retry_jitter AS jitter, r.retry_exit_codes AS "exitCodes", run.triggered_at AS "triggeredAt",
        run.triggered_by AS "triggeredBy", run.depth, coalesce(run.root_id, run.id) AS "rootId", run.attempt, run.fire_events AS "fireEvents",
        run.cancel_requested_at IS NOT NULL AS "cancelRequested", run.reason, a.id AS "attemptId",
        CASE WHEN EXISTS (SELECT FROM event_action e WHERE e.job_revision_id = run.revision_id)
          OR EXISTS (SELECT FROM event_action e WHERE e.schedule_id = j.schedule_id) THEN parent.body END AS "parentBody"
      FROM run JOIN job j ON j.id = run.job_id JOIN job_revision r ON r.id = run.revision_id
      LEFT JOIN run_event parent ON parent.id = run.parent_event_id
      LEFT JOIN attempt a ON a.run_id = run.id AND a.state = 'running'
      WHERE run.id = ANY(${ids}::uuid[])`,
  ]);
  return new Map(rows.map((row) => [row.id, settlingRow(row)]));
}

function settlingRow({
  retryLimit: limit,
  delayMs,
  backoff,
  maxDelayMs,
  jitter,
  exitCodes,
  ...row
}: SettlingQueryRow): SettlingRow {
  return { ...row, retry: { limit, delayMs, backoff, maxDelayMs, jitter, exitCodes } };
}

/**
 * Counts the runs in the chains of these runs, by the first run of each chain. Lock that run before: otherwise another
 * settlement may add to the chain meanwhile.
 */
export async function countChains(tx: SqlTx, runIds: readonly string[]): Promise<Map<string, number>> {
  const rows = await tx.$queryRaw<{ rootId: string; count: number }[]>`
    SELECT root_id AS "rootId", 1 + count(*)::int AS count FROM run
    WHERE root_id = ANY(ARRAY(SELECT coalesce(root_id, id) FROM run WHERE id = ANY(${[...runIds]}::uuid[])))
    GROUP BY root_id`;
  return new Map(rows.map(({ rootId, count }) => [rootId, count]));
}

interface ActionRow {
  revisionId: string | null;
  scheduleId: string | null;
  event: SettlingAction["event"];
  action: SettlingAction["action"];
  url: string | null;
  options: ActionOptions;
  targetId: string | null;
  targetName: string | null;
  targetDeleted: boolean;
  targetEnabled: boolean | null;
}

/** The actions of the runs of a batch. */
export interface SettlingActions {
  /** The actions of the run's revision, then those of its schedule. */
  of(run: SettlingRow): SettlingAction[];
}

/** Reads the actions of runs and of their schedules, with the current states of the jobs that they trigger. */
export async function readActions(tx: SqlTx, runIds: readonly string[]): Promise<SettlingActions> {
  const rows = await tx.$queryRaw<ActionRow[]>`
    WITH settling AS (
      SELECT DISTINCT run.revision_id, j.schedule_id FROM run JOIN job j ON j.id = run.job_id
      WHERE run.id = ANY(${[...runIds]}::uuid[])
    ), action AS (
      SELECT a.* FROM event_action a JOIN settling s ON a.job_revision_id = s.revision_id
      UNION SELECT a.* FROM event_action a JOIN settling s ON a.schedule_id = s.schedule_id
    )
    SELECT a.job_revision_id AS "revisionId", a.schedule_id AS "scheduleId", a.event, a.action, a.url, a.options,
      t.id AS "targetId", t.name AS "targetName", t.deleted_at IS NOT NULL AS "targetDeleted", r.enabled AS "targetEnabled"
    FROM action a LEFT JOIN job t ON t.id = a.target_job_id LEFT JOIN job_revision r ON r.id = t.current_revision_id
    ORDER BY a.position`;
  return {
    of: ({ revisionId, scheduleId }) => [
      ...rows.filter((row) => row.revisionId === revisionId).map((row) => settlingAction(row, "job")),
      ...rows.filter((row) => row.scheduleId === scheduleId).map((row) => settlingAction(row, "schedule")),
    ],
  };
}

function settlingAction(row: ActionRow, level: "job" | "schedule"): SettlingAction {
  const { event, action, targetId, targetName } = row;
  const options = actionOptions(row.options);
  if (targetId === null) return { level, event, action, target: row.url ?? "", ...options };
  const job = { id: targetId, enabled: row.targetEnabled ?? false, deleted: row.targetDeleted };
  return { level, event, action, target: targetName ?? "", job };
}

/** Reads the stored output of the running attempts of runs, by attempt. */
export async function readStoredPieces(
  tx: SqlTx,
  runIds: readonly string[],
): Promise<Map<string, OutputPiece[]>> {
  if (runIds.length === 0) return new Map();
  const rows = await tx.$queryRaw<{ attemptId: string; position: bigint; bytes: Uint8Array }[]>`
    SELECT l.attempt_id AS "attemptId", l.position, l.bytes
    FROM attempt a JOIN attempt_log l ON l.attempt_id = a.id
    WHERE a.run_id = ANY(${[...runIds]}::uuid[]) AND a.state = 'running' ORDER BY l.position`;
  const pieces = Map.groupBy(rows, (row) => row.attemptId);
  return new Map(
    [...pieces].map(([id, own]) => [
      id,
      own.map(({ position, bytes }) => ({ position: Number(position), bytes })),
    ]),
  );
}
