/** Applies a JSON Merge Patch (RFC 7396) to the document of a job or schedule. */
import { copyLiterals } from "../../text/literals.ts";

/** Returns the patched document; changes neither argument. */
export function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  const merged = new Map(isObject(target) ? Object.entries(target) : []);
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) merged.delete(key);
    else merged.set(key, mergePatch(merged.get(key), value));
  }
  const result = Object.fromEntries(merged);
  copyLiterals(patch, result);
  return result;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

type Fields = Record<string, unknown>;

/** Patches a job document (RFC 7396). A short form in the patch replaces the long form in the document. */
export function patchJobDocument(document: unknown, patch: Fields): unknown {
  const replaced = {
    ...("retries" in patch && { retry: { limit: null } }),
    ...("disable_concurrent_execution" in patch && { concurrency: null }),
  };
  return mergePatch(mergePatch(document, replaced), patch);
}

/** Patches a schedule document, and each of its jobs like a job document. */
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
