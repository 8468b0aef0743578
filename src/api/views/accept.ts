/** Which of the forms of an answer a caller prefers. */

/**
 * The offer that an Accept header ranks highest; the first one where it ranks none higher, or none at all.
 * @param offers media types without parameters
 */
export function preferred<T extends string>(accept: string | undefined, offers: readonly [T, ...T[]]): T {
  const ranges = (accept ?? "*/*").split(",").map(readRange);
  const quality = (offer: T) => {
    const specific = [offer, `${offer.split("/", 1)[0]}/*`, "*/*"]
      .map((type) => ranges.find((range) => range.type === type))
      .find((range) => range !== undefined);
    return specific?.quality ?? 0;
  };
  return offers.reduce((best, offer) => (quality(offer) > quality(best) ? offer : best));
}

function readRange(text: string): { type: string; quality: number } {
  const [type = "", ...parameters] = text.split(";").map((part) => part.trim().toLowerCase());
  const q = parameters.find((parameter) => parameter.startsWith("q="))?.slice(2);
  return { type, quality: q === undefined ? 1 : Number(q) || 0 };
}
