/** Lets one service at a time have a data folder. */

import { once } from "node:events";
import { rm } from "node:fs/promises";
import { connect, createServer, type Server } from "node:net";
import path from "node:path";
import { OperatorError } from "../../errors.ts";

/**
 * Takes the lock: a unix socket in the data folder that is listened on, so that the kernel drops it with its holder.
 *
 * @param link a short path to the data folder; its own may be too long for a socket
 * @param dataDir only named in the error
 * @throws if another service holds it
 */
export async function lockData(link: string, dataDir: string): Promise<AsyncDisposable> {
  const address = path.join(link, "service.sock");
  let server = await listen(address);
  if (server === undefined && !(await isHeld(address))) {
    await rm(address, { force: true });
    server = await listen(address);
  }
  if (server === undefined) {
    throw new OperatorError(
      `Another Carillon is running on ${dataDir}. Stop it, or give this one a DATA_DIR of its own; ` +
        "to run several on the same data, set DATABASE_URL.",
    );
  }
  return server.unref();
}

/** @returns nothing if there is a socket already, be it dead or alive */
async function listen(address: string): Promise<Server | undefined> {
  const server = createServer((visitor) => visitor.destroy());
  try {
    await once(server.listen(address), "listening");
    return server;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EADDRINUSE") return undefined;
    throw error;
  }
}

async function isHeld(address: string): Promise<boolean> {
  const visitor = connect(address);
  try {
    await once(visitor, "connect");
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ECONNREFUSED" || code === "ENOENT") return false;
    throw error;
  } finally {
    visitor.destroy();
  }
}
