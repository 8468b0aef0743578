/** Tests of the differences between two definitions and between two documents. */
import { expect, it } from "vitest";
import { changedJobFields, changedScheduleFields, documentDiff } from "../../../src/jobs/rules/changes.ts";
import { jobDefinition } from "../../support/job-definition.ts";

it("returns no names when nothing has changed", () => {
  expect(changedJobFields(jobDefinition(), jobDefinition())).toEqual([]);
});

it("returns the names that documents use, each once and without values", () => {
  const before = jobDefinition({ env: { A: "1" }, secretEnv: { B: "one" }, workingDirectory: "a" });
  const after = jobDefinition({ env: { A: "2" }, secretEnv: { B: "two" }, timeoutMs: 1, jitterMs: 1 });
  expect(changedJobFields(before, after)).toEqual(["env", "working_directory", "timeout", "jitter"]);
});

it("returns the events whose actions have changed", () => {
  const url = { event: "on_error", action: "notify_webhook", target: "https://example.org/" } as const;
  const job = { event: "on_success", action: "trigger_job", target: "tea" } as const;
  const before = jobDefinition({ actions: [url, job] });
  expect(changedJobFields(before, jobDefinition({ actions: [job, url] }))).toEqual([]);
  const signed = { ...url, headers: { "X-Key": "1" } };
  expect(changedJobFields(before, jobDefinition({ actions: [signed, job] }))).toEqual(["on_error"]);
  expect(changedJobFields(before, jobDefinition())).toEqual(["on_success", "on_error"]);
});

it("works for schedules too", () => {
  const before = { tzLocation: null, logRetentionMs: null, actions: [] };
  expect(changedScheduleFields(before, before)).toEqual([]);
  const after = { tzLocation: "UTC", logRetentionMs: 1, actions: [] };
  expect(changedScheduleFields(before, after)).toEqual(["tz_location", "log_retention_period"]);
});

it("lists each field that differs", () => {
  const before = { command: "a", retry: { limit: 0, delay: "5s" }, cron: ["1"], timeout: "1m" };
  const after = { command: "a", retry: { limit: 3, delay: "5s" }, cron: ["1", "2"], labels: { team: "x" } };
  expect(documentDiff(before, after)).toEqual([
    { path: "retry.limit", before: 0, after: 3 },
    { path: "cron", before: ["1"], after: ["1", "2"] },
    { path: "timeout", before: "1m", after: null },
    { path: "labels", before: null, after: { team: "x" } },
  ]);
  expect(documentDiff(before, structuredClone(before))).toEqual([]);
});
