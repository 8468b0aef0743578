/** Lets pg-boss take messages from dead holders, at times that follow no wall clock, and repairs what a clock step leaves. */
import type { Db } from "pg-boss";
import { type Monitor, type Part, startTicking } from "../lifecycle.ts";
import { HEARTBEAT_SECONDS, SCHEMA } from "./messages.ts";
import { type ClockLook, clockStepMs } from "./rules/clock-steps.ts";

/** How often (ms) each node looks for dead holders. pg-boss' own timer waits for the node's wall clock. */
const EVERY_MS = 3_000;
/**
 * So long (ms) after a step ahead no holder counts as dead: every claim looks old at first, until its holder renews it.
 */
const PATIENCE_MS = HEARTBEAT_SECONDS * 1_000;

/**
 * Starts the supervision of the queues.
 * @param supervise lets pg-boss look once
 * @param monitor counts every look as a success
 */
export function startSupervision(db: Db, supervise: () => Promise<void>, monitor: Monitor): Part {
  let before: ClockLook | undefined;
  let patientUntil = 0;
  let needsRepair = true;
  const tick = async () => {
    const look = await lookAtClock(db);
    const step = before === undefined ? 0 : clockStepMs(before, look);
    before = look;
    if (step > 0) patientUntil = look.answeredMs + PATIENCE_MS;
    if (step < 0) needsRepair = true;
    if (needsRepair) {
      await repairFutureTimes(db);
      needsRepair = false;
    }
    if (look.answeredMs >= patientUntil) await supervise();
  };
  return startTicking({ monitor, tick, waitMs: () => EVERY_MS, stopMs: 1_500 });
}

async function lookAtClock(db: Db): Promise<ClockLook> {
  const askedMs = performance.now();
  const { rows } = await db.executeSql(
    `SELECT (1000 * extract(epoch FROM ${SCHEMA}.job_now()))::float8 AS ms`,
    [],
  );
  return { databaseMs: Number(rows[0].ms), askedMs, answeredMs: performance.now() };
}

/**
 * Moves times that lie in the future after a step back to the present. Otherwise pg-boss would take no message from a
 * dead holder, and look after no queue, until the clock has come so far again. A message that was sent before the step
 * and waits keeps the length of its wait.
 */
async function repairFutureTimes(db: Db): Promise<void> {
  for (const text of REPAIRS) await db.executeSql(text, []);
}

const NOW = `${SCHEMA}.job_now()`;
const REPAIRS = [
  `UPDATE ${SCHEMA}.queue SET monitor_on = least(monitor_on, ${NOW}),
     monitor_claim_on = least(monitor_claim_on, ${NOW}), maintain_on = least(maintain_on, ${NOW})
   WHERE greatest(monitor_on, monitor_claim_on, maintain_on) > ${NOW}`,
  `UPDATE ${SCHEMA}.job SET started_on = least(started_on, ${NOW}), heartbeat_on = least(heartbeat_on, ${NOW})
   WHERE state = 'active' AND greatest(started_on, heartbeat_on) > ${NOW}`,
  // By the same time for all, so that they stay in order.
  `WITH step AS (
     SELECT max(created_on) - ${NOW} AS by FROM ${SCHEMA}.job
     WHERE state < 'active' AND created_on > ${NOW} AND start_after > ${NOW}
   )
   UPDATE ${SCHEMA}.job SET created_on = created_on - step.by, start_after = start_after - step.by FROM step
   WHERE state < 'active' AND created_on > ${NOW} AND start_after > ${NOW}`,
];
