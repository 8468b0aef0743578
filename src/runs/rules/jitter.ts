/** How much later than its slot a cron run starts: spread over the jobs, and always the same for one slot. */

const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

/** Milliseconds from 0 to `maxMs`, both included; which ones follows from the job and the slot (FNV-1a). */
export function slotJitterMs(jobId: string, slot: Date, maxMs: number): number {
  let hash = FNV_OFFSET;
  for (const character of `${jobId} ${slot.getTime()}`) {
    hash = Math.imul(hash ^ character.charCodeAt(0), FNV_PRIME) >>> 0;
  }
  // The low bits of one hash are poor; the high ones of another round are not.
  const mixed = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d) >>> 0;
  return Math.floor((((mixed ^ (mixed >>> 12)) >>> 0) / 2 ** 32) * (maxMs + 1));
}
