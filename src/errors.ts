/** The catalogue of errors: every stable code with its HTTP status and title, and the error classes. */

const CATALOGUE = {
  bad_request: { status: 400, title: "The request is malformed" },
  malformed_body: { status: 400, title: "The body cannot be parsed" },
  malformed_cursor: { status: 400, title: "The cursor is not valid" },
  unauthorized: { status: 401, title: "A valid token is required" },
  forbidden: { status: 403, title: "The token does not allow this" },
  foreign_host: { status: 403, title: "The Host header is not allowed" },
  foreign_origin: { status: 403, title: "Calls from other web sites are not allowed" },
  route_not_found: { status: 404, title: "There is no such route" },
  job_not_found: { status: 404, title: "There is no such job" },
  run_not_found: { status: 404, title: "There is no such run" },
  attempt_not_found: { status: 404, title: "There is no such attempt" },
  delivery_not_found: { status: 404, title: "There is no such delivery" },
  revision_not_found: { status: 404, title: "The job has no such revision" },
  secret_not_found: { status: 404, title: "There is no such secret" },
  schedule_not_found: { status: 404, title: "There is no such schedule" },
  token_not_found: { status: 404, title: "There is no such token" },
  method_not_allowed: { status: 405, title: "The route does not allow this method" },
  request_timeout: { status: 408, title: "The request took too long to arrive" },
  job_exists: { status: 409, title: "A job of this name exists already" },
  token_exists: { status: 409, title: "A token of this name exists already" },
  job_disabled: { status: 409, title: "The job is disabled" },
  run_ended: { status: 409, title: "The run has ended" },
  secret_in_use: { status: 409, title: "A job or schedule uses this secret" },
  secret_unreadable: { status: 409, title: "The secret cannot be read" },
  job_in_use: { status: 409, title: "Another job triggers this job" },
  body_too_large: { status: 413, title: "The body is too large" },
  unsupported_media_type: { status: 415, title: "The body must be JSON or YAML" },
  range_not_satisfiable: { status: 416, title: "The range selects nothing" },
  idempotency_mismatch: { status: 422, title: "The Idempotency-Key was used for another request" },
  invalid_document: { status: 422, title: "The document is not valid" },
  headers_too_large: { status: 431, title: "The header fields are too large" },
  rate_limited: { status: 429, title: "Too many calls" },
  queue_full: { status: 429, title: "Too many runs of the job are waiting" },
  run_failed: { status: 424, title: "The run has failed" },
  internal: { status: 500, title: "An internal error occurred" },
  unavailable: { status: 503, title: "The service cannot answer right now" },
} as const satisfies Record<string, { status: number; title: string }>;

/** A stable code that clients may rely on. */
export type ErrorCode = keyof typeof CATALOGUE;

/** A wrong field of the caller's input. */
export interface FieldError {
  /** Such as `jobs.coffee.cron`. */
  path: string;
  /** What is wrong and what to do about it: without a capital at the start or a full stop at the end. */
  message: string;
}

/** An error with a code of the catalogue. The API returns it as problem+json. */
export class CarillonError extends Error {
  override readonly name = "CarillonError";
  readonly code: ErrorCode;
  readonly errors: readonly FieldError[];

  /**
   * @param detail a sentence: what happened, and what the caller can do about it
   * @param errors the fields at fault, where the input has fields
   */
  constructor(code: ErrorCode, detail: string, errors: readonly FieldError[] = []) {
    super(detail);
    this.code = code;
    this.errors = errors;
  }

  /** The HTTP status that belongs to the code. */
  get status(): number {
    return CATALOGUE[this.code].status;
  }

  /** The title that belongs to the code, the same for every occurrence. */
  get title(): string {
    return CATALOGUE[this.code].title;
  }
}

/** Returns the error for a name that no job has. */
export function jobNotFound(name: string): CarillonError {
  return new CarillonError("job_not_found", `There is no job ${name}.`);
}

/** Returns the error for a trigger of a disabled job. */
export function jobDisabled(name: string): CarillonError {
  return new CarillonError("job_disabled", `The job ${name} is disabled: save it with enabled: true first.`);
}

/** Returns the error for an id that no run has. */
export function runNotFound(id: string): CarillonError {
  return new CarillonError("run_not_found", `There is no run ${id}.`);
}

/** Returns the error for an id that no delivery has. */
export function deliveryNotFound(id: string): CarillonError {
  return new CarillonError("delivery_not_found", `There is no delivery ${id}.`);
}

/** Returns the error for a document with wrong fields. */
export function invalidDocument(errors: readonly FieldError[]): CarillonError {
  return new CarillonError("invalid_document", wrongFields(errors), errors);
}

/** Returns the detail of an error about wrong fields: the first one, and how many more there are. */
export function wrongFields([first, ...more]: readonly FieldError[]): string {
  if (first === undefined) return "The input is not valid.";
  const rest = more.length === 0 ? "" : ` (${more.length} more in errors)`;
  return sentence(`At ${first.path}: ${first.message}${rest}`);
}

/** Returns a text with a capital letter at its start and a full stop or question mark at its end. */
export function sentence(text: string): string {
  const begun = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.?!]$/.test(begun) ? begun : `${begun}.`;
}

/** The inverse of {@link sentence}: the form that messages of fields have. */
export function withinSentence(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1).replace(/\.$/, "");
}

/** An error that the operator of the service can fix. The message says how, so no stack trace is shown. */
export class OperatorError extends Error {
  override readonly name: string = "OperatorError";
}

/** Returns every code with its status and title, for the documentation. */
export function errorCatalogue(): { code: ErrorCode; status: number; title: string }[] {
  return Object.entries(CATALOGUE).map(([code, entry]) => ({ code: code as ErrorCode, ...entry }));
}
