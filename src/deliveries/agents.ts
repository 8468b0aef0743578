/** Keeps connections to receivers for a moment, so that several webhooks in a row share one. */
import { Agent as HttpAgent } from "node:http";
import { Agent as HttpsAgent } from "node:https";
import type { Socket } from "node:net";

/**
 * How long (ms) an idle connection is kept. Most servers keep theirs for 5 s or more, so a request seldom meets one that
 * the receiver is about to close. The guard has checked the address when the connection was made.
 */
const IDLE_MS = 1_500;
/** Idle connections to one host, at most. */
const MOST_IDLE = 8;

/** Agents of our own: those of Node may use a proxy from the environment. */
export interface Agents {
  http: HttpAgent;
  https: HttpsAgent;
}

/** @param keepAlive whether a connection is used for more than one request */
export function createAgents(keepAlive: boolean): Agents {
  const options = { keepAlive, maxFreeSockets: MOST_IDLE };
  return { http: limitIdle(new HttpAgent(options)), https: limitIdle(new HttpsAgent(options)) };
}

/** The agent's own option would also limit how long a receiver may take for its answer. */
function limitIdle<A extends HttpAgent>(agent: A): A {
  const keep = agent.keepSocketAlive.bind(agent) as (socket: Socket) => boolean;
  const reuse = agent.reuseSocket.bind(agent);
  return Object.assign(agent, {
    keepSocketAlive(socket: Socket) {
      const isKept = keep(socket);
      if (isKept) socket.setTimeout(IDLE_MS);
      return isKept;
    },
    reuseSocket(...[socket, request]: Parameters<typeof reuse>) {
      (socket as Socket).setTimeout(0);
      reuse(socket, request);
    },
  });
}
