/** Reads deliveries. */

import { allows } from "../access/rules/grants.ts";
import { maskUrl } from "../access/rules/masks.ts";
import type { CallerDeps } from "../deps.ts";
import { readRunState, requireJobs } from "../runs/read.ts";
import { type DeliveryDetail, type DeliveryFilter, listDeliveries, readDelivery } from "./delivery-list.ts";
import { deliveryNotFound } from "./redeliver.ts";

/** A delivery with all its tries. Throws delivery_not_found. */
export async function readOneDelivery(deps: CallerDeps, id: string): Promise<DeliveryDetail> {
  const delivery = await readDelivery(deps.db.prisma, id);
  if (delivery === undefined) throw deliveryNotFound(id);
  return shown(deps, delivery);
}

/** The paths of webhooks are for admins. */
function shown({ caller }: CallerDeps, delivery: DeliveryDetail): DeliveryDetail {
  return allows(caller, "admin") ? delivery : { ...delivery, url: maskUrl(delivery.url) };
}

/** Deliveries newest first, each with its last try. Throws job_not_found and run_not_found for filters by none. */
export async function readDeliveries(
  deps: CallerDeps,
  filter: DeliveryFilter,
  page: { beforeId?: string | undefined; limit: number },
): Promise<DeliveryDetail[]> {
  await requireJobs(deps, filter.jobs);
  if (filter.runId !== undefined) await readRunState(deps, filter.runId);
  return (await listDeliveries(deps.db.prisma, filter, page)).map((delivery) => shown(deps, delivery));
}
