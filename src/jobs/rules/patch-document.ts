/** Makes the document that a merge patch asks for, of the document that a job or schedule is. */
import { mergePatch } from "./merge-patch.ts";

type Fields = Record<string, unknown>;

/**
 * A job document, patched (RFC 7396). A short form in the patch takes the place of the long one, which is what the
 * document has.
 */
export function patchJobDocument(document: unknown, patch: Fields): unknown {
  const replaced = {
    ...("retries" in patch && { retry: { limit: null } }),
    ...("disable_concurrent_execution" in patch && { concurrency: null }),
  };
  return mergePatch(mergePatch(document, replaced), patch);
}

/** A schedule document, patched; each of its jobs is patched like a job by itself. */
export function patchScheduleDocument(document: { jobs: Fields }, patch: Fields): unknown {
  const { jobs, ...settings } = patch;
  const patched = Object(mergePatch(document, settings));
  if (jobs === undefined) return patched;
  return { ...patched, jobs: isFields(jobs) ? patchJobs(document.jobs, jobs) : jobs };
}

function patchJobs(before: Fields, patches: Fields): Fields {
  const jobs = new Map(Object.entries(before));
  for (const [name, patch] of Object.entries(patches)) {
    if (patch === null) jobs.delete(name);
    else jobs.set(name, isFields(patch) ? patchJobDocument(jobs.get(name), patch) : patch);
  }
  return Object.fromEntries(jobs);
}

function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
