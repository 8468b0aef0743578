/** Merges the slots of many jobs in the order of time, without keeping more of them than are asked for. */
import type { Cron } from "./cron.ts";
import { dueSlots } from "./slots.ts";

/** A slot of one of the jobs, whatever a job is to the caller. */
export interface AgendaItem<Job> {
  at: Date;
  job: Job;
}

export interface Agenda<Job> {
  /** Takes in the slots of a job. Throws RangeError if the zone is unknown. */
  add(job: Job, crons: readonly Cron[], zone: string): void;
  /** The earliest of all, ascending, and whether there are more of them in the window. */
  read(): { items: AgendaItem<Job>[]; truncated: boolean };
}

/** How many times its limit an agenda holds before it forgets what is late. */
const SLACK = 4;

/**
 * The slots with after < slot <= until, at most `limit`; at one instant, jobs come in the order in which they were
 * added. Once there are enough of them, only earlier ones are looked for: many busy jobs cost little more than few.
 */
export function createAgenda<Job>(window: { after: Date; until: Date; limit: number }): Agenda<Job> {
  const { after, limit } = window;
  let { until } = window;
  let items: AgendaItem<Job>[] = [];
  const cut = () => {
    // One more than the limit, which tells that there are more.
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
