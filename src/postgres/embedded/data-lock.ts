/** The lock of a data folder: one service at a time uses it. */

import { once } from "node:events";
import { rm } from "node:fs/promises";
import { connect, createServer, type Server } from "node:net";
import path from "node:path";
import { OperatorError } from "../../errors.ts";

/**
 * Takes the lock by listening on a unix socket in the data folder. The kernel releases it when the process ends.
 *
 * @param link a short path to the data folder, whose own path may be too long for a socket
 * @param dataDir the path that the error names
 * @throws OperatorError when another service holds the lock
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
      `Another Carillon is running on ${dataDir}. Stop it, or give this one its own DATA_DIR. ` +
        "To run several on the same data, set DATABASE_URL.",
    );
  }
  return server.unref();
}

/** Listens on a socket. Returns undefined when its file exists already, whether or not somebody listens on it. */
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

/** Whether a process listens on the socket. */
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
