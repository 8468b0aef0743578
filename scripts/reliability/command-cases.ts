/** Lists unusual commands that a service must handle, and the result that each must have. */
import { constants } from "node:os";
import type { Run } from "../../test/support/api-client.ts";

export interface CommandCase {
  name: string;
  /** The job document. `$ODD` is a file that exists and is not executable. */
  job: { command: string | string[]; [field: string]: unknown };
  /** Starts one run for each entry, with the entry as the env of the trigger. */
  variants: readonly Record<string, string>[];
  expected: (variant: Record<string, string>) => Expected;
}

export interface Expected {
  state: Run["attempts"][number]["state"];
  status: number;
  /** The expected log: the whole text, or a condition on it. */
  log?: string | ((log: string, run: Run) => boolean);
}

/** How much of the campaign to run. */
export interface Extent {
  /** Bytes that the flood writes. */
  floodBytes: number;
  exitCodes: readonly number[];
}

const ONCE = [{}] as const;
/** Far longer than any command needs on a busy machine, and far shorter than the processes that commands leave behind. */
export const PATIENCE_MS = 300_000;
const SUCCEEDED: Expected = { state: "succeeded", status: 0, log: "begun\n" };
const timesOut = (): Expected => ({ state: "timed_out", status: 124 });

const LINES = 500;
const INTERLEAVED = Array.from({ length: LINES }, (_, n) => `out ${n}\nerr ${n}\n`).join("");
const IGNORING = "trap '' TERM HUP INT";

const single = (name: string, job: CommandCase["job"], expected: Expected): CommandCase => ({
  name,
  job,
  variants: ONCE,
  expected: () => expected,
});

const LEFT_BEHIND: readonly CommandCase[] = [
  single("setsid grandchild", { command: "setsid sleep 900 >/dev/null 2>&1 & echo begun" }, SUCCEEDED),
  single(
    "double fork",
    { command: "(setsid sh -c 'sleep 900 & sleep 900 &' >/dev/null 2>&1 &); echo begun" },
    SUCCEEDED,
  ),
  single(
    "TERM-ignoring tree",
    { command: `${IGNORING}; (${IGNORING}; sleep 900; sleep 900) & sleep 900; sleep 900`, timeout: "1s" },
    timesOut(),
  ),
  single(
    "pipe-holding daemon",
    { command: "setsid sh -c 'while sleep 900; do echo late; done' & echo begun" },
    SUCCEEDED,
  ),
];

const outputs = (floodBytes: number): readonly CommandCase[] => [
  single(
    "flood",
    { command: `echo head; head -c ${floodBytes} /dev/zero | tr '\\0' x; echo; echo tail` },
    {
      state: "succeeded",
      status: 0,
      log: (log, { log_truncated }) =>
        log.startsWith("head\nxxx") &&
        log.endsWith("x\ntail\n") &&
        log_truncated &&
        /\d+ bytes omitted/.test(log) &&
        log.length < 1_049_000,
    },
  ),
  single(
    "> /dev/stderr",
    { command: "echo one > /dev/stderr; echo two >> /dev/stdout; echo three >&2" },
    { state: "succeeded", status: 0, log: "one\ntwo\nthree\n" },
  ),
  single(
    "tee /dev/stdout",
    { command: "echo one | tee /dev/stdout" },
    { state: "succeeded", status: 0, log: "one\none\n" },
  ),
  single(
    "strict interleaving",
    { command: `i=0; while [ $i -lt ${LINES} ]; do echo "out $i"; echo "err $i" >&2; i=$((i+1)); done` },
    { state: "succeeded", status: 0, log: INTERLEAVED },
  ),
  single(
    "2,000 quick children",
    { command: "i=0; while [ $i -lt 2000 ]; do /bin/true & i=$((i+1)); done; wait; echo begun" },
    SUCCEEDED,
  ),
];

const STARTS: readonly CommandCase[] = [
  single("missing binary", { command: ["/no/such/program"] }, { state: "start_failed", status: 127 }),
  single("missing binary, by the shell", { command: "no-such-program" }, { state: "failed", status: 127 }),
  single("no +x", { command: ["./not-executable"] }, { state: "start_failed", status: 126 }),
  single(
    "bad cwd",
    { command: "true", working_directory: "nowhere" },
    { state: "start_failed", status: 126 },
  ),
];

const numbers = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, n) => from + n);

/** Signals without effect here: their default is to be ignored, or they only stop processes that have a terminal. */
const IGNORED: readonly number[] = (
  ["SIGCHLD", "SIGCONT", "SIGURG", "SIGWINCH", "SIGTSTP", "SIGTTIN", "SIGTTOU"] as const
).map((name) => constants.signals[name]);

function endedBy(signal: number): Expected {
  if (IGNORED.includes(signal)) return SUCCEEDED;
  // The command stays stopped until its timeout.
  if (signal === constants.signals.SIGSTOP) return timesOut();
  return { state: "failed", status: 128 + signal };
}

const ends = (exitCodes: readonly number[]): readonly CommandCase[] => [
  {
    name: "exit codes",
    job: { command: "exit $CODE" },
    variants: exitCodes.map((code) => ({ CODE: String(code) })),
    expected: ({ CODE }) => ({ state: CODE === "0" ? "succeeded" : "failed", status: Number(CODE) }),
  },
  {
    name: "every signal from 1 to 31",
    job: { command: "kill -$SIGNAL $$; echo begun", timeout: "1s" },
    variants: numbers(1, 31).map((signal) => ({ SIGNAL: String(signal) })),
    expected: ({ SIGNAL }) => endedBy(Number(SIGNAL)),
  },
];

export const commandCases = ({ floodBytes, exitCodes }: Extent): readonly CommandCase[] => [
  ...LEFT_BEHIND,
  ...outputs(floodBytes),
  ...STARTS,
  ...ends(exitCodes),
];
