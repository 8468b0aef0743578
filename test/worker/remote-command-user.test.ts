/** The account that a command may not run as. */
import { expect, it } from "vitest";
import { startTestRunner } from "../support/test-runner.ts";

it("is the one whose user id the database uses", async ({ skip }) => {
  if (process.getuid?.() !== 0) skip("only root may run commands as somebody else");
  await using runner = await startTestRunner();
  const end = async (refusedUid: number) =>
    (await runner.sh("true", { cwd: "/", user: "nobody", refusedUid }).finished).end;
  const message = expect.stringContaining("uses its user id 65534");
  expect(await end(65_534)).toMatchObject({ kind: "start_failed", code: 126, message });
  expect(await end(60_706)).toEqual({ kind: "exited", code: 0 });
});
