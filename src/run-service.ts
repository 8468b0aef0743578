/** The entry point: starts the roles in ROLES, prints the address, and drains on SIGTERM. */
import { getCompileCacheDir } from "node:module";
import pino from "pino";
import packageJson from "../package.json" with { type: "json" };
import { type Config, readConfig } from "./config.ts";
import { OperatorError } from "./errors.ts";
import { type Service, startService } from "./service.ts";

/**
 * A second signal within this time (ms) is ignored: one Ctrl-C arrives twice, from the terminal and from npm.
 */
const ECHO_MS = 1_000;

/** Starts the service. A failure ends the process, with a message for the operator. */
export async function runService(): Promise<void> {
  try {
    const config = readConfig();
    // Standard output is for people. The log goes to standard error.
    const log = pino(
      { level: config.logLevel, serializers: { err: plainError } },
      pino.destination({ fd: 2, sync: true }),
    );
    log.debug({ folder: getCompileCacheDir() }, "compiled code comes from this folder, if there is one");
    const service = await startService(config, log, fail);
    stopOnSignals(service);
    console.log(greeting(config, service));
  } catch (error) {
    fail(error);
  }
}

/** Drains on the first signal, and exits at once on the next one after ECHO_MS. The runner then kills the commands. */
function stopOnSignals(service: Service): void {
  let firstAt: number | undefined;
  const stop = () => {
    if (firstAt !== undefined) {
      if (performance.now() - firstAt > ECHO_MS) process.exit(1);
      return;
    }
    firstAt = performance.now();
    console.log(
      "Stopping. Running commands get time to finish. Press Ctrl-C again after a second to end them at once.",
    );
    service.stop().then(() => process.exit(0), fail);
  };
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.on(signal, stop);
}

function fail(error: unknown): never {
  console.error(`Carillon stops because of an error: ${messageOf(error)}`);
  process.exit(1);
}

/** Reduces an error to what the log needs. Libraries attach whole connections to their errors. */
function plainError({ name, message, stack, code }: Error & { code?: unknown }) {
  return { type: name, message, code, stack };
}

/** Returns the operator's message of an error, or its stack when there is none. */
function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error instanceof OperatorError) return error.message;
  const { code, port } = error as NodeJS.ErrnoException & { port?: number };
  if (code === "EADDRINUSE")
    return `port ${port} is in use. Stop the program that uses it, or set PORT to another port.`;
  if (code === "EACCES" && port !== undefined)
    return `this user may not listen on port ${port}. Set PORT to another port.`;
  return error.stack ?? error.message;
}

function greeting(config: Config, { url, token }: Service): string {
  const title = `Carillon ${packageJson.version}`;
  if (url === undefined) return `${title} runs as ${config.roles.join(" and ")}.`;
  const auth = token.file === undefined ? "$ADMIN_TOKEN" : `$(cat '${token.file.replaceAll("'", `'\\''`)}')`;
  const curl = `curl -sS -H "Authorization: Bearer ${auth}"`;
  return `${title} listens on ${url}
The token is in ${token.file ?? "ADMIN_TOKEN"}

Save a job, run it and list its runs:

  ${curl} --json '{"command": "echo Hello from Carillon"}' -X PUT ${url}/api/v1/jobs/hello
  ${curl} -X POST '${url}/api/v1/jobs/hello/trigger?wait=30s'
  ${curl} '${url}/api/v1/runs?job=hello'
`;
}
