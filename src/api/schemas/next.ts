/** The slots to come of all jobs, as the API answers them. */
import { z } from "zod";
import type { readNext } from "../../jobs/next.ts";
import { formatLocalTime } from "../../time/zones.ts";
import { durationSchema, wholeNumberSchema } from "./fields.ts";

const MAX_WITHIN_MS = 7 * 86_400_000;
const MAX_ITEMS = 1_000;
const ITEMS = 100;

export const agendaQuerySchema = z.strictObject({
  within: durationSchema(MAX_WITHIN_MS, "7d").prefault("1h").describe("How far ahead; at most 7d"),
  limit: wholeNumberSchema(1, MAX_ITEMS).default(ITEMS),
});

export const agendaSchema = z
  .object({
    items: z.array(
      z.object({
        at: z.iso.datetime(),
        local: z.iso.datetime({ offset: true }).describe("The same by the clocks of the job's zone"),
        job: z.string(),
        schedule: z.string(),
        timezone: z.string(),
      }),
    ),
    truncated: z.boolean().describe("There are more of them in the window"),
  })
  .meta({
    id: "Agenda",
    example: {
      items: [
        {
          at: "2026-03-01T09:05:00.000Z",
          local: "2026-03-01T10:05:00+01:00",
          job: "coffee",
          schedule: "kitchen",
          timezone: "Europe/Brussels",
        },
      ],
      truncated: false,
    },
  });

export function agendaView({
  items,
  truncated,
}: Awaited<ReturnType<typeof readNext>>): z.input<typeof agendaSchema> {
  return {
    items: items.map(({ at, job: { name, schedule, timezone } }) => ({
      at: at.toISOString(),
      local: formatLocalTime(at, timezone),
      job: name,
      schedule,
      timezone,
    })),
    truncated,
  };
}
