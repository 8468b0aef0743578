/** Chooses the media type of a response by the Accept header. */
import accepts from "accepts";
import type { FastifyRequest } from "fastify";

/**
 * Returns the offer that the Accept header ranks highest; the first offer when the header is absent or accepts none.
 * @param offers media types without parameters; all of them are sent as UTF-8
 */
export function preferred<T extends string>(
  { headers }: Pick<FastifyRequest, "headers">,
  offers: readonly [T, ...T[]],
): T {
  const types = offers.map((offer) => `${offer}; charset=utf-8`);
  const chosen = accepts({ headers } as FastifyRequest["raw"]).types(types);
  return offers.find((offer) => chosen === `${offer}; charset=utf-8`) ?? offers[0];
}
