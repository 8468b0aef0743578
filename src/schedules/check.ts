/** Checks the references of a save: jobs, secrets, and cycles of triggers. */
import { invalidDocument } from "../errors.ts";
import { liveJobIds } from "../jobs/find.ts";
import { type EventAction, type JobDefinition, secretOfTarget } from "../jobs/rules/definition.ts";
import type { Tx } from "../postgres/client.ts";

/** A part of a document that refers to jobs and secrets; `path` is its place, such as `jobs.coffee.` */
export interface DocumentPart {
  path: string;
  actions: readonly EventAction[];
  secretEnv?: Readonly<Record<string, string>>;
}

/** Ids of these jobs and of those that the actions trigger. */
export async function namedJobs(
  tx: Tx,
  jobs: readonly JobDefinition[],
  parts: readonly DocumentPart[],
): Promise<Map<string, string>> {
  const targets = parts
    .flatMap(({ path, actions }) => actionsWithPaths(path, actions))
    .filter(({ action }) => action === "trigger_job");
  const names = new Set([...jobs.map((job) => job.name), ...targets.map(({ target }) => target)]);
  const ids = await liveJobIds(tx, [...names]);
  const dangling = targets.filter(({ target }) => !ids.has(target));
  if (dangling.length === 0) return ids;
  throw invalidDocument(dangling.map(({ path, target }) => ({ path, message: `there is no job ${target}` })));
}

/** The names of secrets in a part of a document, with their places. */
export function secretReferences({
  path,
  actions,
  secretEnv = {},
}: DocumentPart): { path: string; name: string }[] {
  const ofCommand = Object.entries(secretEnv).map(([variable, name]) => ({
    path: `${path}env.${variable}.secret`,
    name,
  }));
  const ofActions = actionsWithPaths(path, actions).flatMap(({ path, target, secrets = [] }) => {
    const url = secretOfTarget(target);
    const signing = secrets.map((name) => ({ path: `${path}.secret`, name }));
    return url === undefined ? signing : [{ path: `${path}.url.secret`, name: url }, ...signing];
  });
  return [...ofCommand, ...ofActions];
}

function actionsWithPaths(path: string, actions: readonly EventAction[]): (EventAction & { path: string })[] {
  const lists = Map.groupBy(actions, ({ event, action }) => `${path}${event}.${action}`);
  return [...lists].flatMap(([list, own]) => own.map((one, index) => ({ ...one, path: `${list}.${index}` })));
}

/** Throws invalid_document when there is a cycle. */
export function refuseCycle(cycle: readonly string[] | undefined): void {
  if (cycle === undefined) return;
  const message =
    `these jobs would trigger each other in a cycle: ${cycle.join(" -> ")}; ` +
    "if you intend this, set allow_cycle: true on one of them";
  throw invalidDocument([{ path: "trigger_job", message }]);
}

/** The jobs and schedules, such as `job coffee`, that trigger these jobs. */
export async function whoTriggers(
  tx: Tx,
  jobIds: readonly string[],
): Promise<{ jobId: string; by: string }[]> {
  return tx.$queryRaw`
    SELECT a.target_job_id AS "jobId", 'job ' || j.name AS by FROM event_action a
    JOIN job j ON j.current_revision_id = a.job_revision_id AND j.deleted_at IS NULL
    WHERE a.target_job_id = ANY(${[...jobIds]}::uuid[]) AND j.id <> a.target_job_id
    UNION SELECT a.target_job_id, 'schedule ' || s.name FROM event_action a
    JOIN schedule s ON s.id = a.schedule_id WHERE a.target_job_id = ANY(${[...jobIds]}::uuid[])
    ORDER BY "jobId", by`;
}

/** One edge of the graph of triggers; an action of a schedule makes one for each of its jobs. */
export interface TriggerEdge {
  job: string;
  target: string;
}

/**
 * The edges between live jobs that may not form a cycle. Jobs with allow_cycle are left out, and an action of a
 * schedule makes no edge from its target to itself.
 */
export async function checkedEdges(tx: Tx): Promise<TriggerEdge[]> {
  return tx.$queryRaw<TriggerEdge[]>`
    SELECT j.name AS job, t.name AS target FROM event_action a
    JOIN job j ON j.current_revision_id = a.job_revision_id AND j.deleted_at IS NULL
    JOIN job_revision r ON r.id = j.current_revision_id AND NOT r.allow_cycle
    JOIN job t ON t.id = a.target_job_id
    UNION SELECT j.name, t.name FROM event_action a
    JOIN job j ON j.schedule_id = a.schedule_id AND j.deleted_at IS NULL AND j.id <> a.target_job_id
    JOIN job_revision r ON r.id = j.current_revision_id AND NOT r.allow_cycle
    JOIN job t ON t.id = a.target_job_id`;
}
