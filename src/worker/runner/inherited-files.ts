/** Closes the files that this process was born with, so that no command inherits them. */
import { closeSync, readdirSync, readFileSync } from "node:fs";

const CLOSE_ON_EXEC = 0o2000000;

/** Closes all that would pass on to a child, but stdin, stdout, stderr and `ours`. Node's own files never pass on. */
export function closeInheritedFiles(ours: number): void {
  if (process.platform !== "linux") return;
  for (const name of readdirSync("/proc/self/fd")) {
    const fd = Number(name);
    if (fd > 2 && fd !== ours && passesOn(fd)) closeSync(fd);
  }
}

function passesOn(fd: number): boolean {
  try {
    const info = readFileSync(`/proc/self/fdinfo/${fd}`, "utf8");
    const flags = /^flags:\s+([0-7]+)$/m.exec(info)?.[1];
    return flags !== undefined && (Number.parseInt(flags, 8) & CLOSE_ON_EXEC) === 0;
  } catch {
    // The one that the folder was read with.
    return false;
  }
}
