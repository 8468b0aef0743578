/** Tests of what readers see of webhook URLs, headers and variables. */
import { expect, it } from "vitest";
import { maskDefinition, maskUrl } from "../../../src/access/rules/masks.ts";
import { jobDefinition } from "../../support/job-definition.ts";

it.each([
  ["https://hooks.slack.com/services/T0/B0/xyz", "https://hooks.slack.com/…"],
  ["https://example.org:8443/hook?key=1#part", "https://example.org:8443/…"],
  ["https://example.org/?key=1", "https://example.org/…"],
  ["http://[::1]:80/x", "http://[::1]/…"],
  ["https://example.org", "https://example.org"],
  ["https://example.org/", "https://example.org/"],
  ["secret:slack", "secret:slack"],
])("shows %s as %s", (url, shown) => {
  expect(maskUrl(url)).toBe(shown);
});

it("keeps the names of variables, headers and jobs", () => {
  const definition = jobDefinition({
    env: { CUP: "large" },
    actions: [
      { event: "on_error", action: "trigger_job", target: "cleanup_job" },
      { event: "on_error", action: "notify_webhook", target: "https://x.test/a", headers: { "X-Key": "k" } },
    ],
  });
  const { env, actions } = maskDefinition(definition);
  expect(env).toEqual({ CUP: "[redacted]" });
  expect(actions).toEqual([
    { event: "on_error", action: "trigger_job", target: "cleanup_job" },
    {
      event: "on_error",
      action: "notify_webhook",
      target: "https://x.test/…",
      headers: { "X-Key": "[redacted]" },
    },
  ]);
});
