/** The headers of answers that mean something to callers, as the OpenAPI document describes them. */
import { RUN_STATES } from "../../runs/rules/states.ts";

export const LOCATION = { Location: { type: "string", description: "The path of what was made" } };

export const LINK = {
  Link: { type: "string", description: 'The path of the next page, as rel="next"; absent on the last one' },
};

export const RETRY_AFTER = {
  "Retry-After": { type: "integer", description: "Seconds after which to call again" },
};

export const CONTENT_RANGE = {
  "Content-Range": {
    type: "string",
    description: "The range, and of how many bytes; * while that is not known",
  },
};

export const RUN_HEADERS = {
  "X-Run-Id": { type: "string", format: "uuid", description: "The run" },
  "X-Run-State": { type: "string", enum: [...RUN_STATES], description: "Its state" },
  "X-Exit-Code": { type: "integer", description: "Its exit code; absent until an attempt has ended" },
};

export const REPLAYED = {
  "Idempotency-Replayed": {
    type: "string",
    enum: ["true"],
    description: "Present when the key was known, and the run is the one that it made",
  },
};
