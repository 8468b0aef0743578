/** Says why a command could not be started, with the exit code that shells give. */

import { accessSync, constants, statSync } from "node:fs";
import type { StartFailed, StartOrder } from "./frames.ts";

/**
 * 127 for a command that is not there and 126 for everything else.
 * `spawn` says ENOENT for a missing command and a missing folder alike, so the folder is looked at first.
 */
export function explainStartFailure({ command, cwd, user }: StartOrder, error: unknown): StartFailed {
  const failed = (code: 126 | 127, message: string): StartFailed => ({ kind: "start_failed", code, message });
  const folderProblem = describeFolderProblem(cwd);
  if (folderProblem !== undefined) return failed(126, folderProblem);

  const file = command.kind === "shell" ? "/bin/sh" : command.argv[0];
  switch (errorCode(error)) {
    case "ENOENT":
      // A script whose interpreter is missing exists and still gives ENOENT.
      return failed(127, `command not found: ${file}${file?.includes("/") ? " (or its interpreter)" : ""}`);
    case "EACCES":
      if (user !== undefined) return failed(126, `${user} may not execute ${file}, or not enter ${cwd}`);
      return failed(126, `not an executable file: ${file}`);
    case "E2BIG":
      return failed(126, "the command line and environment are too long");
    default:
      return failed(126, `could not be started: ${error instanceof Error ? error.message : error}`);
  }
}

function describeFolderProblem(cwd: string): string | undefined {
  try {
    if (!statSync(cwd).isDirectory()) return `working directory is not a directory: ${cwd}`;
    accessSync(cwd, constants.X_OK);
    return undefined;
  } catch (error) {
    if (errorCode(error) === "ENOENT") return `working directory not found: ${cwd}`;
    return `working directory cannot be entered: ${cwd} (${errorCode(error)})`;
  }
}

function errorCode(error: unknown): unknown {
  return error instanceof Error && "code" in error ? error.code : undefined;
}
