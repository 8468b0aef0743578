/** The process: starts the roles named in ROLES, says where it listens, and drains on SIGTERM. */
import pino from "pino";
import packageJson from "../package.json" with { type: "json" };
import { type Config, loadEnvFile, readConfig } from "./config.ts";
import { OperatorError } from "./errors.ts";
import { type Service, startService } from "./service.ts";

try {
  loadEnvFile();
  const config = readConfig();
  // Standard output is for people; the log goes to standard error.
  const log = pino(
    { level: config.logLevel, serializers: { err: plainError } },
    pino.destination({ fd: 2, sync: true }),
  );
  const service = await startService(config, log, fail);
  stopOnSignals(service);
  console.log(greeting(config, service));
} catch (error) {
  fail(error);
}

/** Ctrl-C reaches us twice, from the terminal and from npm: so soon after the first, a signal is the same one. */
const ECHO_MS = 1_000;

/** The first signal drains, a second one ends at once. */
function stopOnSignals(service: Service): void {
  let firstAt: number | undefined;
  const stop = () => {
    if (firstAt !== undefined) {
      if (performance.now() - firstAt > ECHO_MS) process.exit(1);
      return;
    }
    firstAt = performance.now();
    console.log("Stopping. Running commands get time to finish; a second Ctrl-C ends them at once.");
    service.stop().then(() => process.exit(0), fail);
  };
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.on(signal, stop);
}

function fail(error: unknown): never {
  console.error(`Carillon stops because of an error: ${explain(error)}`);
  process.exit(1);
}

/** Libraries hang whole connections on their errors; the log wants what happened and where. */
function plainError({ name, message, stack, code }: Error & { code?: unknown }) {
  return { type: name, message, code, stack };
}

function explain(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error instanceof OperatorError) return error.message;
  const { code, port } = error as NodeJS.ErrnoException & { port?: number };
  if (code === "EADDRINUSE")
    return `port ${port} is in use. Stop what listens there, or set PORT to another one.`;
  if (code === "EACCES" && port !== undefined)
    return `port ${port} is not open to this user. Set PORT to another one.`;
  return error.stack ?? error.message;
}

function greeting(config: Config, { url, token }: Service): string {
  const title = `Carillon ${packageJson.version}`;
  if (url === undefined) return `${title} works as ${config.roles.join(" and ")}.`;
  const auth = token.file === undefined ? "$ADMIN_TOKEN" : `$(cat '${token.file.replaceAll("'", `'\\''`)}')`;
  const curl = `curl -sS -H "Authorization: Bearer ${auth}"`;
  return `${title} listens on ${url}
The token is ${token.file === undefined ? "that of ADMIN_TOKEN" : `in ${token.file}`}

Save a job, run it, look at its history:

  ${curl} --json '{"command": "echo Hello from Carillon"}' -X PUT ${url}/api/v1/jobs/hello
  ${curl} -X POST '${url}/api/v1/jobs/hello/trigger?wait=30s'
  ${curl} '${url}/api/v1/runs?job=hello'
`;
}
