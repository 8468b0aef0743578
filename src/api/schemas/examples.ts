/** The examples of the OpenAPI document: the last attempt of coffee fails and triggers cleanup_job. */

/** A job as a request body. */
export const JOB = {
  name: "coffee",
  command: "brew --size $CUP",
  cron: "*/5 * * * *",
  timezone: "Europe/Brussels",
  env: { CUP: "large" },
  params: ["CUP"],
  retries: 3,
  on_error: { notify_webhook: ["https://example.org/hook"] },
  on_retries_exhausted: { trigger_job: ["cleanup_job"] },
};

/** The same job in a response. */
export const JOB_VIEW = {
  ...JOB,
  schedule: "kitchen",
  retry: { limit: 3, delay: "5s", backoff: "constant", jitter: 0, exit_codes: [] },
  missed_runs: "last",
  catchup_window: "1h",
  pool: "default",
  log_limit: "1MiB",
  enabled: true,
  labels: {},
  revision: 1,
  created_at: "2026-03-01T09:00:00.000Z",
  updated_at: "2026-03-01T09:00:00.000Z",
  paused: null,
  next_runs: ["2026-03-01T09:05:00.000Z", "2026-03-01T09:10:00.000Z", "2026-03-01T09:15:00.000Z"],
};

/** A schedule as a request body; the command `this fails` does not exist and fails. */
export const SCHEDULE = {
  tz_location: "Europe/Brussels",
  on_success: { notify_webhook: ["https://example.org/all"] },
  jobs: {
    coffee: {
      command: "this fails",
      cron: "* * * * *",
      retries: 3,
      on_retries_exhausted: { trigger_job: ["cleanup_job"] },
    },
    cleanup_job: { command: ["echo", "cleaning"] },
  },
};

const { name: _name, schedule: _schedule, ...JOB_IN_SCHEDULE } = JOB_VIEW;
const SCHEDULE_FIELDS = {
  name: "kitchen",
  tz_location: "Europe/Brussels",
  created_at: "2026-03-01T09:00:00.000Z",
  updated_at: "2026-03-01T09:00:00.000Z",
};

/** A schedule in a response. */
export const SCHEDULE_VIEW = {
  ...SCHEDULE_FIELDS,
  on_success: { notify_webhook: ["https://example.org/all"] },
  jobs: { coffee: JOB_IN_SCHEDULE },
};

/** A schedule in a list. */
export const SCHEDULE_LISTED = { ...SCHEDULE_FIELDS, jobs: 2 };

const PARENT = {
  id: "019ca8a4-d26c-7a3e-9f52-6b1d8c0e4a17",
  name: "coffee",
  status: 1,
  triggered_at: "2026-03-01T09:05:00.012Z",
  triggered_by: "cron",
  event: "on_retries_exhausted",
  retry_attempt: 3,
  retries_exhausted: true,
};

/** A run in a list. */
export const RUN_SUMMARY = {
  id: "019ca8a5-10bc-7c05-8d3b-2f7e5a9c1b60",
  name: "cleanup_job",
  schedule: "kitchen",
  revision: 1,
  state: "succeeded",
  status: 0,
  triggered_at: "2026-03-01T09:05:15.964Z",
  triggered_by: "retries_exhausted[coffee]",
  trigger: { type: "job", run_id: PARENT.id, event: PARENT.event },
  scheduled_for: null,
  started_at: "2026-03-01T09:05:15.981Z",
  finished_at: "2026-03-01T09:05:15.997Z",
  duration_ms: 16,
  next_attempt_at: null,
  cancel_requested_at: null,
  retry_attempt: 0,
  retries: 0,
  retries_exhausted: false,
  reason: null,
  triggered: [],
  triggered_runs: [],
  not_triggered: [],
  triggered_by_job_run: PARENT,
};

const TRY = { started_at: "2026-03-01T09:05:16.003Z", duration_ms: 112, status: 204, error: null };
const DELIVERY_FIELDS = {
  id: "019ca8a5-10df-7f1a-b0c6-94d2e7f8a351",
  event: "on_success",
  attempt: 0,
  action: "notify_webhook",
  url: "https://example.org/all",
  state: "delivered",
  next_try_at: null,
  created_at: "2026-03-01T09:05:15.999Z",
  finished_at: "2026-03-01T09:05:16.120Z",
};
const RUN_DELIVERY = { ...DELIVERY_FIELDS, tries: [{ ...TRY, response: "" }] };

/** A delivery by itself. */
export const DELIVERY = { ...RUN_DELIVERY, run_id: RUN_SUMMARY.id, name: RUN_SUMMARY.name };

/** The same delivery in a list. */
export const DELIVERY_SUMMARY = {
  ...DELIVERY_FIELDS,
  run_id: RUN_SUMMARY.id,
  name: RUN_SUMMARY.name,
  tries_made: 1,
  last_try: TRY,
};

/** The same run with all its fields. */
export const RUN = {
  ...RUN_SUMMARY,
  env: {},
  attempts: [
    {
      attempt: 0,
      state: "succeeded",
      status: 0,
      reason: null,
      worker: "kitchen-1",
      started_at: RUN_SUMMARY.started_at,
      finished_at: RUN_SUMMARY.finished_at,
      duration_ms: 16,
    },
  ],
  deliveries: [RUN_DELIVERY],
  log: "cleaning\n",
  log_truncated: false,
  triggered_by_job_run: {
    ...PARENT,
    log: "no beans\n",
    log_truncated: false,
    triggered: ["cleanup_job"],
  },
};

/** The chain of that run in its three formats. */
export const RUN_TREE = {
  id: PARENT.id,
  name: PARENT.name,
  state: "failed",
  status: 1,
  event: null,
  triggered_at: PARENT.triggered_at,
  duration_ms: 15_931,
  self: false,
  children: [
    {
      id: RUN.id,
      name: RUN.name,
      state: RUN.state,
      status: 0,
      event: PARENT.event,
      triggered_at: RUN.triggered_at,
      duration_ms: RUN.duration_ms,
      self: true,
      children: [],
    },
  ],
  truncated: false,
};
export const RUN_TREE_DRAWN = `coffee  failed  exit 1  15s931ms
└── cleanup_job  succeeded  exit 0  16ms  on_retries_exhausted  (this run)
`;
export const RUN_TREE_MERMAID = `flowchart TD
  r0["coffee<br>failed, exit 1, 15s931ms"]
  r1["cleanup_job<br>succeeded, exit 0, 16ms"]
  r0 -->|on_retries_exhausted| r1
  style r1 stroke-width:4px
`;

/** Counts of runs, deliveries and jobs. */
export const STATS = {
  runs: {
    queued: 1,
    running: 2,
    retrying: 0,
    succeeded: 1_440,
    failed: 3,
    cancelled: 0,
    skipped: 1,
    missed: 0,
  },
  waiting: { for_a_place: 1, oldest_ms: 812 },
  deliveries: { pending: 0, delivered: 1_442, failed: 1, blocked: 0 },
  jobs: { enabled: 12, paused: 1, disabled: 2 },
  scheduler: { last_beat_ms: 431, beat_lateness_ms: 3, oldest_overdue_ms: null },
  retention: { runs: 0, keys: 2 },
};
