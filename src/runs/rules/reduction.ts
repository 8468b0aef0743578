/** Decides what a settlement leaves out after the database has refused it several times. */
import { freezeBody, thawBody } from "../../deliveries/rules/payloads.ts";
import type { Settlement } from "./settlement.ts";

/** What a settlement leaves out, and why. `log`: the log and the parent's body. `effects`: deliveries and child runs, too. */
export interface Reduction {
  without: "log" | "effects";
  why: string;
}

/** Refusals before the log is left out, and before the effects are. */
const WHOLE_TRIES = 5;
/** Tries of a settlement in all: whole, without the log, and without its effects. */
export const SETTLE_TRIES = WHOLE_TRIES + 2;

/** @param refusals how often the database has refused the settlement while it answered */
export function reductionAfter(refusals: number, message: string): Reduction | undefined {
  if (refusals < WHOLE_TRIES) return undefined;
  const why = `the database refused the result: ${message}`;
  return { without: refusals === WHOLE_TRIES ? "log" : "effects", why };
}

/** The reason of an attempt whose settlement is reduced. */
export function reducedReason(reason: string | undefined, { without, why }: Reduction): string {
  const lost = without === "log" ? "the log was dropped" : "the log, notifications and triggers were dropped";
  return `${reason === undefined ? "" : `${reason}; `}${lost}, because ${why}`;
}

/**
 * What is left of a settlement. Without effects, its events trigger no runs; the caller records their deliveries as
 * failed.
 */
export function reducedSettlement(settlement: Settlement, reduction: Reduction | undefined): Settlement {
  if (reduction?.without !== "effects") return settlement;
  const { why } = reduction;
  const events = settlement.events.map((event) => ({
    ...event,
    body: freezeBody({ ...thawBody(event.body), triggered: [] }),
    triggers: [],
    refusals: [...event.refusals, ...event.triggers.map(({ name }) => ({ name, reason: why }))],
  }));
  return { ...settlement, events };
}
