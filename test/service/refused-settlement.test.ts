/** Settlements that the database refuses: no run stays running, and no event is silent. */
import { expect, it } from "vitest";
import { startSink } from "../support/http-sink.ts";
import { startTestService } from "../support/test-service.ts";

const REFUSED = "the database refused the result";

it.each(["the log", "the effects"])(
  "drops %s when the database refuses it",
  {
    timeout: 60_000,
  },
  async (what) => {
    await using sink = await startSink();
    await using service = await startTestService();
    await service.client.putJob("mop", { command: "true" });
    const on_error = { notify_webhook: [sink.url()], trigger_job: ["mop"] };
    await service.client.putJob("job", { command: "echo beans; exit 3", on_error });
    const isAll = what === "the effects";
    const [table, condition] = isAll
      ? ["delivery", "state <> 'pending'"]
      : ["run_event", "body NOT LIKE '%beans%'"];
    await service.prisma.$executeRawUnsafe(
      `ALTER TABLE ${table} ADD CONSTRAINT refusing CHECK (${condition})`,
    );

    const run = await service.client.trigger("job", undefined, "50s");
    expect(run).toMatchObject({
      state: "failed",
      status: 3,
      log: "",
      reason: expect.stringContaining(REFUSED),
    });
    expect(run.reason).toContain("refusing");
    expect(run.reason).toContain(
      isAll ? "the log, notifications and triggers were dropped" : "the log was dropped",
    );
    const { deliveries, not_triggered, triggered } = run;
    if (isAll) {
      expect(deliveries).toMatchObject([{ state: "failed", tries: [] }]);
      expect([triggered, not_triggered]).toMatchObject([[], [{ name: "mop" }]]);
      return;
    }
    expect([triggered, not_triggered]).toEqual([["mop"], []]);
    await expect.poll(() => sink.received.length).toBe(1);
    const body = JSON.parse(String(sink.received[0]?.body));
    expect(body).toMatchObject({ status: 3, log: "", log_truncated: true, reason: run.reason });
  },
);
