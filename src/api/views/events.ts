/** The events of a document to actions, and back. */
import { ACTIONS, EVENTS, type EventAction, secretOfTarget } from "../../jobs/rules/definition.ts";
import { type EventsDocument, targetOf, type Webhook } from "../schemas/events.ts";

/** The actions of a document in a fixed order, each once. */
export function eventActions(document: EventsDocument): EventAction[] {
  return EVENTS.flatMap((event) =>
    ACTIONS.flatMap((action) => {
      const targets = (document[event]?.[action] ?? []).map(webhook);
      const distinct = new Map(targets.toReversed().map((one) => [targetOf(one), one])).values();
      return [...distinct].toReversed().map(({ url, headers = {}, secret }) => ({
        event,
        action,
        target: targetOf({ url }),
        ...(Object.keys(headers).length > 0 && { headers }),
        ...(secret !== undefined && { secrets: [secret].flat() }),
      }));
    }),
  );
}

/** The events of a document, as they were given. */
export function eventsView(actions: readonly EventAction[]): EventsDocument {
  const ofEvent = (event: EventAction["event"]) => {
    const own = actions.filter((one) => one.event === event);
    const lists = ACTIONS.map((action) => [
      action,
      own.filter((one) => one.action === action).map(targetView),
    ]);
    return Object.fromEntries(lists.filter(([, targets]) => targets?.length !== 0));
  };
  const used = EVENTS.filter((event) => actions.some((one) => one.event === event));
  return Object.fromEntries(used.map((event) => [event, ofEvent(event)]));
}

export function webhook(target: string | Webhook): Webhook {
  return typeof target === "string" ? { url: target } : target;
}

function targetView({ target, headers, secrets = [] }: EventAction): string | Webhook {
  const [secret, second] = secrets;
  const secretUrl = secretOfTarget(target);
  if (headers === undefined && secret === undefined && secretUrl === undefined) return target;
  return {
    url: secretUrl === undefined ? target : { secret: secretUrl },
    ...(headers && { headers: { ...headers } }),
    ...(secret !== undefined && { secret: second === undefined ? secret : [secret, second] }),
  };
}
