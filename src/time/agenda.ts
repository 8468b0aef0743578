/** Merges the slots of many jobs in order of time, and keeps little more of them than the caller wants. */
import type { Cron } from "./cron.ts";
import { dueSlots } from "./slots.ts";

/** A slot of one of the jobs; the caller decides what stands for a job. */
export interface AgendaItem<Job> {
  at: Date;
  job: Job;
}

export interface Agenda<Job> {
  /** Adds the slots of a job. Throws RangeError if the zone is unknown. */
  add(job: Job, crons: readonly Cron[], zone: string): void;
  /** Returns the earliest slots, ascending, and whether the window has more. */
  read(): { items: AgendaItem<Job>[]; truncated: boolean };
}

/** An agenda holds this many times its limit before it drops the latest slots. */
const SLACK = 4;

/**
 * Collects the slots with after < slot <= until, at most `limit`. At one instant, jobs come in the order in which they
 * were added. Once the agenda is full it computes earlier slots only, so many busy jobs cost little more than a few.
 */
export function createAgenda<Job>(window: { after: Date; until: Date; limit: number }): Agenda<Job> {
  const { after, limit } = window;
  let { until } = window;
  let items: AgendaItem<Job>[] = [];
  const cut = () => {
    // One more than the limit shows that there are more.
    items = items.sort((a, b) => a.at.getTime() - b.at.getTime()).slice(0, limit + 1);
    const last = items.at(-1);
    if (items.length > limit && last !== undefined) until = last.at;
  };
  return {
    add(job, crons, zone) {
      for (const at of dueSlots({ crons, zone, after, until, limit: limit + 1 })) items.push({ at, job });
      if (items.length > SLACK * (limit + 1)) cut();
    },
    read() {
      cut();
      return { items: items.slice(0, limit), truncated: items.length > limit };
    },
  };
}
