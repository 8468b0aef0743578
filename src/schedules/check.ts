/** Checks the documents of a save: the jobs and secrets that they refer to, and cycles of triggers. */
import { invalidDocument } from "../errors.ts";
import { liveJobIds } from "../jobs/find.ts";
import { type EventAction, type JobDefinition, secretOfTarget } from "../jobs/rules/definition.ts";
import type { Tx } from "../postgres/client.ts";

/** A part of a document that can refer to jobs and secrets. Its `path` is a prefix such as `jobs.coffee.` */
export interface DocumentPart {
  path: string;
  actions: readonly EventAction[];
  secretEnv?: Readonly<Record<string, string>>;
}

/** Returns the ids of these jobs and of the jobs that the actions trigger. Throws invalid_document for unknown jobs. */
export async function findReferredJobs(
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

/** The secrets that a part of a document refers to, with the paths of the references. */
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

/** Throws invalid_document, with the names along the cycle, when there is a cycle. */
export function refuseCycle(cycle: readonly string[] | undefined): void {
  if (cycle === undefined) return;
  const message =
    `these jobs would trigger each other in a cycle: ${cycle.join(" -> ")}; ` +
    "if you intend this, set allow_cycle: true on one of them";
  throw invalidDocument([{ path: "trigger_job", message }]);
}

/** The owners of actions that trigger these jobs, such as `job coffee` or `schedule default`. */
export async function findTriggerOwners(
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

/** An edge of the graph of triggers. An action of a schedule adds an edge for each of its jobs. */
export interface TriggerEdge {
  job: string;
  target: string;
}

/**
 * The edges between live jobs that must not form a cycle. Leaves out jobs with allow_cycle. An action of a schedule
 * adds no edge from its target to itself.
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
