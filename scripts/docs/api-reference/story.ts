/** The story that docs/api.md tells: which calls are made, in which order, and what is said about them. */
import type { Chapter, Stats } from "./chapter.ts";

const calm = ({ runs, deliveries }: Stats): boolean =>
  runs.queued + runs.running + runs.retrying + deliveries.pending === 0;

const ORDER = `curl -sS -H "$AUTH" -H 'Idempotency-Key: order-17' --json '{"triggered_by": "CoffeeRequestButton"}' \\
  "$API/jobs/coffee/trigger?wait=30s`;

const KITCHEN = `tz_location: Asia/Tokyo
log_retention_period: 30 days
on_error:
  notify_webhook: [https://example.org/all]
jobs:
  beans: { command: ls *.bean, cron: "30 7 * * *" }
  grinder: { command: [echo, grinding], concurrency: { limit: 1, policy: skip } }
`;

const saving: Chapter = {
  title: "Save jobs",
  text: "A job is a document in JSON or YAML. All fields are in the OpenAPI document and on `/docs`.",
  operations: {
    postJobsValidate: [
      {
        curl: `curl -sS -H "$AUTH" --json '{"name": "tea", "command": "brew", "crn": "@daily"}' "$API/jobs/validate"`,
      },
    ],
    postJobs: [
      {
        curl: `curl -sS -H "$AUTH" --json '{"name": "cleanup_job", "command": "echo cleaning"}' "$API/jobs"`,
        status: 201,
      },
      {
        lead: "Save and run; whoever accepts text gets the log:",
        curl: `curl -sS -H "$AUTH" -H 'Accept: text/plain' --json '{"name": "hello", "command": "echo Hello from $PLACE", "env": {"PLACE": "the kitchen"}}' \\
  "$API/jobs?run=true&wait=30s"`,
      },
    ],
    putJob: [
      {
        curl: `curl -sS -H "$AUTH" -X PUT --json '{
    "command": "echo no beans; exit 1", "cron": "30 7 * * *", "timezone": "Asia/Tokyo",
    "retry": {"limit": 1, "delay": "1s"}, "labels": {"team": "coffee"},
    "on_retries_exhausted": {"trigger_job": ["cleanup_job"], "notify_webhook": ["http://127.0.0.1:9000/hook"]}
  }' "$API/jobs/coffee"`,
        status: 201,
      },
      {
        lead: "A dry run says what would change:",
        curl: `curl -sS -H "$AUTH" -X PUT --json '{"command": "echo scrubbing"}' "$API/jobs/cleanup_job?dry_run=true"`,
      },
    ],
    patchJob: [
      {
        curl: `curl -sS -H "$AUTH" -X PATCH --json '{"timeout": "10m", "retry": {"delay": "500ms"}}' "$API/jobs/coffee"`,
      },
    ],
    getJob: [{ curl: `curl -sS -H "$AUTH" "$API/jobs/cleanup_job"` }],
    getJobs: [{ curl: `curl -sS -H "$AUTH" "$API/jobs?limit=1"` }],
    getJobNext: [{ curl: `curl -sS -H "$AUTH" "$API/jobs/coffee/next?count=2"` }],
    getNext: [
      { lead: "All jobs, in the order of time:", curl: `curl -sS -H "$AUTH" "$API/next?within=1d&limit=2"` },
    ],
    getJobRevisions: [{ curl: `curl -sS -H "$AUTH" "$API/jobs/coffee/revisions?limit=1"` }],
    getJobRevision: [{ curl: `curl -sS -H "$AUTH" "$API/jobs/coffee/revisions/1"` }],
    deleteJob: [
      { curl: `curl -sS -H "$AUTH" -X DELETE "$API/jobs/hello"`, status: 204 },
      {
        lead: "A job that another one triggers stays:",
        curl: `curl -sS -H "$AUTH" -X DELETE "$API/jobs/cleanup_job"`,
        status: 409,
      },
    ],
  },
};

const triggering: Chapter = {
  title: "Trigger",
  text: "Without `wait` the answer is 202 and the run as it is then. Closing the connection cancels nothing.",
  operations: {
    postJobTrigger: [
      {
        lead: "This trigger was sent once before: the key makes it the same run, and the answer has the header `Idempotency-Replayed: true`.",
        before: [`${ORDER}"`],
        until: calm,
        curl: `${ORDER}"`,
        keep: { RUN: "id", CHILD: "triggered_runs.0.id" },
      },
      {
        lead: "`fail=true` lets `curl --fail` in a script fail with the run:",
        curl: `${ORDER}&fail=true"`,
        status: 424,
      },
    ],
    postRunRerun: [
      { curl: `curl -sS -H "$AUTH" -H 'Accept: text/plain' -X POST "$API/runs/$CHILD/rerun?wait=30s"` },
    ],
  },
};

const history: Chapter = {
  title: "History",
  text: "Lists leave logs out. Where a list goes on, `next_cursor` is the `cursor` of the next page, and a `Link` header has its whole path.",
  operations: {
    getRuns: [{ curl: `curl -sS -H "$AUTH" "$API/runs?label=team=coffee&state=failed&since=2w"` }],
    getJobRuns: [{ curl: `curl -sS -H "$AUTH" "$API/jobs/cleanup_job/runs?limit=1"` }],
    getRun: [
      {
        lead: "It has the run that triggered it, as that one was then:",
        curl: `curl -sS -H "$AUTH" "$API/runs/$CHILD"`,
      },
    ],
    getRunLog: [
      { curl: `curl -sS -H "$AUTH" "$API/runs/$RUN/log?attempt=0"` },
      {
        lead: "As it comes, until the run has ended:",
        curl: `curl -sSN -H "$AUTH" "$API/runs/$RUN/log?attempt=all&follow=true"`,
      },
      {
        lead: "As server-sent events; a client that lost the line sends the last id as `Last-Event-ID`:",
        curl: `curl -sSN -H "$AUTH" -H "Accept: text/event-stream" "$API/runs/$RUN/log"`,
      },
    ],
  },
};

const chains: Chapter = {
  title: "Chains",
  text: "From any run of a chain, the whole chain.",
  operations: {
    getRunTree: [
      { curl: `curl -sS -H "$AUTH" "$API/runs/$CHILD/tree"` },
      { lead: "Drawn:", curl: `curl -sS -H "$AUTH" -H 'Accept: text/plain' "$API/runs/$CHILD/tree"` },
      {
        lead: "For Mermaid:",
        curl: `curl -sS -H "$AUTH" -H 'Accept: text/vnd.mermaid' "$API/runs/$CHILD/tree"`,
      },
    ],
  },
};

const deliveries: Chapter = {
  title: "Deliveries",
  text: "Each notification to one URL, with all its tries.",
  operations: {
    getDeliveries: [
      {
        curl: `curl -sS -H "$AUTH" "$API/deliveries?job=coffee&state=delivered"`,
        keep: { DELIVERY: "items.0.id" },
      },
    ],
    getDelivery: [{ curl: `curl -sS -H "$AUTH" "$API/deliveries/$DELIVERY"`, showReceived: true }],
    postDeliveryRedeliver: [
      {
        curl: `curl -sS -H "$AUTH" -X POST "$API/deliveries/$DELIVERY/redeliver"`,
        status: 202,
        holdReceiver: true,
      },
    ],
  },
};

const schedules: Chapter = {
  title: "Schedules",
  text: "A schedule is a document of many jobs; [a cheek file](from-cheek.md) is one.",
  operations: {
    putSchedule: [
      {
        curl: `curl -sS -H "$AUTH" -X PUT -H 'Content-Type: application/yaml' --data-binary @- "$API/schedules/kitchen" <<'YAML'
${KITCHEN}YAML`,
      },
    ],
    patchSchedule: [
      {
        curl: `curl -sS -H "$AUTH" -X PATCH --json '{"jobs": {"beans": {"retries": 2}, "grinder": null}}' "$API/schedules/kitchen?dry_run=true"`,
      },
    ],
    getSchedule: [{ curl: `curl -sS -H "$AUTH" "$API/schedules/kitchen"` }],
    getSchedules: [{ curl: `curl -sS -H "$AUTH" "$API/schedules"` }],
    deleteSchedule: [{ curl: `curl -sS -H "$AUTH" -X DELETE "$API/schedules/kitchen"`, status: 204 }],
  },
};

const tokens: Chapter = {
  title: "Tokens and audit",
  text: "A token may do what its scopes say: `read`, `trigger` (all jobs, or those in `jobs`) or `admin`. Each write is in the audit, with the name of the token and never with a value.",
  operations: {
    postTokens: [
      {
        curl: `curl -sS -H "$AUTH" --json '{"name": "button", "scopes": ["trigger"], "jobs": ["coffee"], "expires_in": "90d"}' "$API/tokens"`,
        status: 201,
        keep: { TOKEN: "token" },
      },
    ],
    getTokens: [{ curl: `curl -sS -H "$AUTH" "$API/tokens"` }],
    getToken: [
      { curl: `curl -sS -H "$AUTH" "$API/tokens/button"` },
      {
        lead: "What it is not for, it does not get:",
        curl: `curl -sS -H "Authorization: Bearer $TOKEN" "$API/jobs"`,
        status: 403,
      },
    ],
    deleteToken: [{ curl: `curl -sS -H "$AUTH" -X DELETE "$API/tokens/button"`, status: 204 }],
    getAudit: [{ curl: `curl -sS -H "$AUTH" "$API/audit?target=button"` }],
  },
};

const secrets: Chapter = {
  title: "Secrets",
  text: "A job names a secret in place of a value of `env`, of a webhook's `url`, or as the `secret` that signs it. Values go in and never come out; logs have `[redacted]` in their place.",
  operations: {
    putSecret: [
      {
        curl: `curl -sS -H "$AUTH" -X PUT --json '{"value": "correct horse battery staple"}' "$API/secrets/shop-api-key"`,
        status: 201,
      },
      {
        lead: "A job that names it, and its log:",
        curl: `curl -sS -H "$AUTH" -H 'Accept: text/plain' --json '{"name": "order_beans", "command": "echo beans for $KEY", "env": {"KEY": {"secret": "shop-api-key"}}}' \\
  "$API/jobs?run=true&wait=30s"`,
      },
    ],
    getSecrets: [{ curl: `curl -sS -H "$AUTH" "$API/secrets"` }],
    deleteSecret: [
      {
        lead: "One that a job names stays:",
        curl: `curl -sS -H "$AUTH" -X DELETE "$API/secrets/shop-api-key"`,
        status: 409,
      },
    ],
    postSecretsRotate: [
      {
        lead: "After a new line was put in front in `data/secret-keys`; here there was none:",
        curl: `curl -sS -H "$AUTH" -X POST "$API/secrets/rotate"`,
      },
    ],
  },
};

const operations: Chapter = {
  title: "Operations",
  text: "What whoever runs the service needs. `/`, `/openapi.json` and `/docs` want the token as well.",
  operations: {
    postJobPause: [
      {
        curl: `curl -sS -H "$AUTH" --json '{"by": "ann", "reason": "the machine is being descaled"}' "$API/jobs/coffee/pause"`,
      },
    ],
    postJobResume: [{ curl: `curl -sS -H "$AUTH" -X POST "$API/jobs/coffee/resume"` }],
    postRunCancel: [
      {
        lead: "`descale` runs for a minute:",
        before: [`curl -sS -H "$AUTH" --json '{"name": "descale", "command": "sleep 60"}' "$API/jobs"`],
        curl: `curl -sS -H "$AUTH" -X POST "$API/jobs/descale/trigger"`,
        status: 202,
        keep: { RUNNING: "id" },
      },
      {
        lead: "Cancel it, and wait until its command has ended. Without `wait` the answer is 202 and the run as it is then; one that waits is cancelled at once:",
        until: ({ runs, deliveries: { pending } }) => runs.running === 1 && pending === 0,
        curl: `curl -sS -H "$AUTH" -X POST "$API/runs/$RUNNING/cancel?wait=10s"`,
      },
    ],
    getStats: [{ curl: `curl -sS -H "$AUTH" "$API/stats"` }],
    getRoot: [{ curl: `curl -sS -H "$AUTH" "$BASE/"` }],
    getHealthz: [{ curl: `curl -sS "$BASE/healthz"` }],
    getReadyz: [{ curl: `curl -sS "$BASE/readyz"` }],
    getVersion: [{ curl: `curl -sS "$BASE/version"` }],
  },
};

export const STORY: readonly Chapter[] = [
  saving,
  triggering,
  history,
  chains,
  deliveries,
  schedules,
  tokens,
  secrets,
  operations,
];
