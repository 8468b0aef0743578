/** Starts a process of a benchmark that answers requests over IPC, so that what it measures shares nothing with the client. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import path from "node:path";

/** A process that measures. */
export interface Host<Request, Answer> extends Disposable {
  child: ChildProcess;
  /** Sends a request and waits for the answer. One at a time. */
  ask(request: Request): Promise<Answer>;
}

/** Starts a file of this folder and waits for its first message. */
export async function openHost<Request, Answer>(
  file: string,
  args: readonly string[],
  execArgv: string[] = [],
): Promise<Host<Request, Answer>> {
  const child = fork(path.join(import.meta.dirname, file), args, { execArgv });
  const gone = once(child, "exit").then(() => Promise.reject(new Error(`${file} has ended`)));
  gone.catch(() => undefined);
  const answer = () => Promise.race([once(child, "message"), gone]).then(([message]) => message as Answer);
  await answer();
  return {
    child,
    ask(request) {
      child.send(request as object);
      return answer();
    },
    [Symbol.dispose]: () => void (child.connected && child.disconnect()),
  };
}

/** In such a process: answers each request until the parent disconnects, then cleans up and exits. */
export async function answerRequests<Request>(
  answer: (request: Request) => Promise<unknown>,
  close: () => Promise<unknown> = async () => undefined,
): Promise<void> {
  process.on("message", async (request: Request) => process.send?.((await answer(request)) as object));
  process.send?.("ready");
  await once(process, "disconnect");
  await close();
  process.exit();
}
