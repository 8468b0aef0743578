/** Prepares what one try of a delivery sends. */
import type { SecretKeys } from "../access/secret-keys.ts";
import { secretValues } from "../access/secrets.ts";
import { CarillonError, OperatorError, withinSentence } from "../errors.ts";
import { secretOfTarget } from "../jobs/rules/definition.ts";
import type { Database } from "../postgres/client.ts";
import { createCoalescer } from "../postgres/coalescer.ts";
import { redactionPatterns } from "../text/redaction.ts";
import type { ClaimedDelivery } from "./claim.ts";
import { deliveryBody } from "./rules/payloads.ts";

/** Characters. A shorter path segment may be an ordinary word, so it is not treated as a secret. */
const MIN_SEGMENT_LENGTH = 16;

/** The request that one delivery makes. */
export interface Notification {
  /** The id of the delivery: the same for every try. */
  id: string;
  url: string;
  headers: Readonly<Record<string, string>>;
  body: string;
  /** Values of the secrets to sign it with, by name. */
  secrets: ReadonlyMap<string, string>;
  /** Patterns that are redacted from the response before it is stored: path of the URL, values of headers and secrets. */
  hidden: readonly Buffer[];
  /** Why it cannot be sent; shown to users. */
  problem?: string;
}

/** Prepares the notification of a claimed delivery. */
export async function openDelivery(
  db: Database,
  { id, eventId, url, action, options: { headers = {}, secrets = [] }, frozen }: ClaimedDelivery,
  { secretKeys }: { secretKeys: SecretKeys },
): Promise<Notification> {
  const [body, target] = await Promise.all([
    frozen ?? frozenBody(db, eventId),
    withSecrets(db, url, secrets, { secretKeys }),
  ]);
  return {
    ...{ id, headers, body: deliveryBody(action, body, id) },
    ...target,
    hidden: hiddenPatterns(url, headers, target),
  };
}

/**
 * Returns the patterns to redact. A receiver may echo what it was sent, whole or in part: the path without its query,
 * one segment of it, or a token without `Bearer`. Values shorter than any secret are not redacted.
 * @param named the URL as the action names it; a URL that is a secret is hidden even if it is only a host
 */
function hiddenPatterns(
  named: string,
  headers: Notification["headers"],
  { url, secrets }: Pick<Notification, "url" | "secrets">,
): Buffer[] {
  const { pathname, search, searchParams, href } = new URL(url);
  const isPlain = secretOfTarget(named) === undefined && pathname === "/" && search === "";
  const path = pathname.split("/").filter((part) => part.length >= MIN_SEGMENT_LENGTH);
  const parts = isPlain
    ? []
    : [url, href, pathname + search, pathname, search, ...path, ...searchParams.values()];
  const words = Object.values(headers).flatMap((value) => [value, ...value.split(/\s+/)]);
  const keys = [...secrets.values()].flatMap((value) => [value, value.replace(/^whsec_/, "")]);
  return redactionPatterns([...parts, ...words, ...keys]);
}

/** Reads the URL, which may itself be a secret, and the secrets to sign with. */
async function withSecrets(
  db: Database,
  target: string,
  names: readonly string[],
  keys: { secretKeys: SecretKeys },
): Promise<Pick<Notification, "url" | "secrets" | "problem">> {
  try {
    const secrets = await secretValues(db.prisma, names, keys);
    const name = secretOfTarget(target);
    if (name === undefined) return { url: target, secrets };
    const url = (await secretValues(db.prisma, [name], keys)).get(name)?.trim() ?? "";
    if (URL.canParse(url)) return { url, secrets };
    return { url: target, secrets, problem: `secret ${name} is not a URL` };
  } catch (error) {
    if (!(error instanceof CarillonError || error instanceof OperatorError)) throw error;
    return { url: target, secrets: new Map(), problem: withinSentence(error.message) };
  }
}

/** The most bodies in one read. Each has at most 256 KiB of logs. */
const BODIES_AT_ONCE = 32;

/** Reads the frozen body of an event, if it was too long for the claim. Calls that come together share one query. */
const frozenBody = createCoalescer(async (db: Database, eventIds: readonly string[]) => {
  const rows = await db.sqlRead(
    (tx) => tx.$queryRaw<{ id: string; body: string }[]>`
      SELECT id, body FROM run_event WHERE id = ANY(${[...eventIds]}::uuid[])`,
  );
  const bodies = new Map(rows.map(({ id, body }) => [id, body]));
  return eventIds.map((id) => {
    const value = bodies.get(id);
    return value === undefined ? { error: new Error(`the event ${id} is gone`) } : { value };
  });
}, BODIES_AT_ONCE);
