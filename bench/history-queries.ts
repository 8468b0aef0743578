/** The calls that read the history: every documented filter and page, each with a common and a rare value. */

import { RARE } from "./history-rows.ts";
import type { ApiClient } from "./http-client.ts";

/** A call to measure. */
export interface Query {
  name: string;
  path: string;
}

/** Filters that lists of runs share. `deep`: the middle of the history as an instant. */
const runFilters = (deep: string) => [
  "",
  "limit=200",
  ...["succeeded", "failed", "missed"].map((state) => `state=${state}`),
  "state=failed&state=cancelled",
  ...[0, 1, RARE.status].map((status) => `status=${status}`),
  ...["cron", "ann", RARE.triggeredBy].map((label) => `triggered_by=${label}`),
  ...["cron", "rerun", RARE.trigger].map((trigger) => `trigger=${trigger}`),
  ...["team=team-1", RARE.label].map((label) => `label=${encodeURIComponent(label)}`),
  ...[`since=1d`, `until=${deep}`, `since=${deep}&state=failed`],
];

const ALL_RUNS = [
  ...["job-1", RARE.job].map((job) => `job=${job}`),
  "job=job-1&job=job-2",
  "job=job-1&state=failed",
  "schedule=schedule-1",
  "schedule=schedule-1&status=1",
];

const DELIVERIES = [
  "",
  "limit=200",
  "state=delivered",
  "state=failed",
  "state=blocked",
  "job=job-10",
  "since=1d",
];

/** Returns the calls on a history. The middle of it is read from the API itself. */
export async function queriesOf(api: ApiClient, middle: Date): Promise<Query[]> {
  const deep = middle.toISOString();
  const lists = [
    ...[...runFilters(deep), ...ALL_RUNS].map((query) => listed("/runs", query)),
    ...runFilters(deep).map((query) => listed("/jobs/job-1/runs", query)),
    ...[...DELIVERIES, `until=${deep}`].map((query) => listed("/deliveries", query)),
  ];
  const pages = await Promise.all(
    ["/runs", "/jobs/job-1/runs", "/deliveries"].map((list) => deepPage(api, list, deep)),
  );
  // The runs of the rare job have no delivery, the others of every tenth second have.
  const { items } = await api.json<{ items: { run_id?: string; id: string }[] }>(
    "GET",
    `/deliveries?until=${deep}`,
  );
  const runs = await api.json<{ items: { id: string }[] }>("GET", `/runs?until=${deep}`);
  const [delivery, run] = [items[0], runs.items[0]];
  const one = [
    { name: "/runs/{id}", path: `/runs/${run?.id}` },
    { name: "/runs/{id}/tree", path: `/runs/${run?.id}/tree` },
    ...(delivery?.run_id === undefined ? [] : [listed("/deliveries", `run=${delivery.run_id}`)]),
  ];
  return [...lists, ...pages, ...one, { name: "/stats", path: "/stats" }].map((query) => ({
    name: query.name.replace(deep, "MIDDLE").replace(/run=[0-9a-f-]{36}/, "run=ID"),
    path: query.path,
  }));
}

function listed(list: string, query: string): Query {
  const path = query === "" ? list : `${list}?${query}`;
  return { name: path.replace("/jobs/job-1/", "/jobs/{name}/"), path };
}

/** The page that follows the first one before the middle. */
async function deepPage(api: ApiClient, list: string, deep: string): Promise<Query> {
  const page = await api.json<{ next_cursor: string | null }>("GET", `${list}?until=${deep}`);
  const query = page.next_cursor === null ? "" : `cursor=${encodeURIComponent(page.next_cursor)}`;
  return { ...listed(list, query), name: `${list.replace("job-1", "{name}")}?cursor=MIDDLE` };
}
