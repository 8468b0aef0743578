/** A monitor of a part that logs nothing, and tells a test of errors. */
import pino from "pino";
import { createMonitor, type Monitor } from "../../src/lifecycle.ts";

const SILENT = pino({ level: "silent" });

/** @param onError told of each error; one that a test does not expect is thrown */
export function testMonitor(onError: (error: Error) => void = unexpected): Monitor {
  const monitor = createMonitor("a part under test", SILENT);
  return {
    ...monitor,
    failed(error) {
      monitor.failed(error);
      onError(error as Error);
    },
  };
}

function unexpected(error: Error): never {
  throw error;
}
