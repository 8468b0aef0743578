/** Names the host of a delivery, which limits and circuits apply to. */

/** Returns host and port. What a secret says is not known, so all deliveries with the same secret count as one host. */
export function hostOf(url: string): string {
  return URL.parse(url)?.host || url;
}
