/** Lets one process at a time prepare a checkout. The lock is a socket: it ends with the process that holds it. */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { inRoot } from "./programs.mjs";

/** Waits for the lock, and holds it while it does `work(lock)`. */
export async function oneAtATime(work) {
  const owner = `${inRoot()}\0${process.getuid?.()}`;
  const address = `carillon-prepare-${createHash("sha256").update(owner).digest("hex").slice(0, 16)}`;
  // A socket's path must be short, and the temporary folder's path may be long. So the address is relative to that folder.
  process.chdir(tmpdir());
  for (;;) {
    const waiting = [];
    const lock = createServer((socket) => waiting.push(socket));
    try {
      await once(lock.listen(address), "listening");
    } catch (error) {
      if (error.code !== "EADDRINUSE") throw error;
      await untilFree(address);
      continue;
    }
    try {
      return await work(lock);
    } finally {
      lock.close();
      for (const socket of waiting) socket.destroy();
    }
  }
}

/** Waits until the holder releases the lock, and removes the socket that a killed holder left. */
async function untilFree(address) {
  const holder = connect(address);
  holder.on("connect", () => console.error("Waiting for another npm command that prepares this folder"));
  holder.on("error", ({ code }) => code === "ECONNREFUSED" && rmSync(address, { force: true }));
  await new Promise((resolve) => holder.on("close", resolve));
}
