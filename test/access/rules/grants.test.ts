/** Tests of what scopes allow: admin allows everything, and every other scope only itself. */
import { expect, it } from "vitest";
import { allows, type Grant, mayTrigger, type Scope } from "../../../src/access/rules/grants.ts";

const grant = (scopes: Scope[], jobs: string[] = []): Grant => ({ id: "1", name: "one", scopes, jobs });

it("lets each scope allow itself, and admin everything", () => {
  for (const wanted of ["read", "trigger", "admin"] as const) {
    expect(allows(grant(["admin"]), wanted)).toBe(true);
    for (const has of ["read", "trigger"] as const) expect(allows(grant([has]), wanted)).toBe(has === wanted);
    expect(allows(grant([]), wanted)).toBe(false);
  }
  expect(allows(grant(["trigger"]), "read", "trigger")).toBe(true);
  expect(allows(grant(["read"]))).toBe(false);
});

it("limits the scope trigger to the jobs of the grant, and allows no job without the scope", () => {
  expect(mayTrigger(grant(["trigger"]), "tea")).toBe(true);
  expect(mayTrigger(grant(["read", "trigger"], ["coffee"]), "coffee")).toBe(true);
  expect(mayTrigger(grant(["trigger"], ["coffee"]), "tea")).toBe(false);
  expect(mayTrigger(grant(["read"]), "tea")).toBe(false);
  expect(mayTrigger(grant(["admin"]), "tea")).toBe(true);
});
