/** Lists the calls that docs/api.md shows, in their order, with a comment on each. */
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
        lead: "Save and run. With `Accept: text/plain` the response is the log:",
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
        lead: "A dry run shows what would change:",
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
    getNext: [{ lead: "All jobs, by time:", curl: `curl -sS -H "$AUTH" "$API/next?within=1d&limit=2"` }],
    getJobRevisions: [{ curl: `curl -sS -H "$AUTH" "$API/jobs/coffee/revisions?limit=1"` }],
    getJobRevision: [{ curl: `curl -sS -H "$AUTH" "$API/jobs/coffee/revisions/1"` }],
    deleteJob: [
      { curl: `curl -sS -H "$AUTH" -X DELETE "$API/jobs/hello"`, status: 204 },
      {
        lead: "A job that another job triggers cannot be deleted:",
        curl: `curl -sS -H "$AUTH" -X DELETE "$API/jobs/cleanup_job"`,
        status: 409,
      },
    ],
  },
};

const triggering: Chapter = {
  title: "Trigger",
  text: "Without `wait` the response is 202 and the run as it is then.",
  operations: {
    postJobTrigger: [
      {
        lead: "The same trigger was sent before. The key makes it the same run, and the response has the header `Idempotency-Replayed: true`.",
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
  text: "Lists of runs, and what one run contains.",
  operations: {
    getRuns: [{ curl: `curl -sS -H "$AUTH" "$API/runs?label=team=coffee&state=failed&since=2w"` }],
    getJobRuns: [{ curl: `curl -sS -H "$AUTH" "$API/jobs/cleanup_job/runs?limit=1"` }],
    getRun: [
      {
        lead: "It contains the run that triggered it, as it was then:",
        curl: `curl -sS -H "$AUTH" "$API/runs/$CHILD"`,
      },
    ],
    getRunLog: [
      { curl: `curl -sS -H "$AUTH" "$API/runs/$RUN/log?attempt=0"` },
      {
        lead: "Follow it until the run ends:",
        curl: `curl -sSN -H "$AUTH" "$API/runs/$RUN/log?attempt=all&follow=true"`,
      },
      {
        lead: "As server-sent events; a client that reconnects sends the last id as `Last-Event-ID`:",
        curl: `curl -sSN -H "$AUTH" -H "Accept: text/event-stream" "$API/runs/$RUN/log"`,
      },
    ],
  },
};

const chains: Chapter = {
  title: "Chains",
  text: "The whole chain, from any of its runs.",
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
  text: "A delivery is one notification to one URL, with all its tries.",
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
  text: "A token may do what its scopes allow: `read`, `trigger` (all jobs, or those in `jobs`) or `admin`. The audit lists each write with the name of the token, never with a value.",
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
        lead: "A call outside its scope is refused:",
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
  text: "A job refers to a secret by name: as a value of `env`, as the `url` of a webhook, or as the `secret` that signs it. No call returns the value, and logs show `[redacted]` in its place.",
  operations: {
    putSecret: [
      {
        curl: `curl -sS -H "$AUTH" -X PUT --json '{"value": "correct horse battery staple"}' "$API/secrets/shop-api-key"`,
        status: 201,
      },
      {
        lead: "A job that uses it, and its log:",
        curl: `curl -sS -H "$AUTH" -H 'Accept: text/plain' --json '{"name": "order_beans", "command": "echo beans for $KEY", "env": {"KEY": {"secret": "shop-api-key"}}}' \\
  "$API/jobs?run=true&wait=30s"`,
      },
    ],
    getSecrets: [{ curl: `curl -sS -H "$AUTH" "$API/secrets"` }],
    deleteSecret: [
      {
        lead: "A secret that a job uses cannot be deleted:",
        curl: `curl -sS -H "$AUTH" -X DELETE "$API/secrets/shop-api-key"`,
        status: 409,
      },
    ],
    postSecretsRotate: [
      {
        lead: "Call it after you add a new first line to `data/secret-keys`. Here there was none:",
        curl: `curl -sS -H "$AUTH" -X POST "$API/secrets/rotate"`,
      },
    ],
  },
};

const operations: Chapter = {
  title: "Operations",
  text: "Calls for those who run the service. `/`, `/openapi.json` and `/docs` need a token, too.",
  operations: {
    postJobPause: [
      {
        curl: `curl -sS -H "$AUTH" --json '{"by": "ann", "reason": "the machine is being descaled"}' "$API/jobs/coffee/pause"`,
      },
    ],
    postJobResume: [{ curl: `curl -sS -H "$AUTH" -X POST "$API/jobs/coffee/resume"` }],
    postRunCancel: [
      {
        lead: "`descale` runs for a minute. After 2 s the response is 202 and the run as it is then:",
        before: [`curl -sS -H "$AUTH" --json '{"name": "descale", "command": "sleep 60"}' "$API/jobs"`],
        curl: `curl -sS -H "$AUTH" -X POST "$API/jobs/descale/trigger?wait=2s"`,
        status: 202,
        keep: { RUNNING: "id" },
      },
      {
        lead: "Cancel it, and wait until its command has ended. Without `wait` the response is 202 and the run as it is then. A run that is still waiting is cancelled at once:",
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
