/** The response headers that the OpenAPI document describes. */
import { RUN_STATES } from "../../runs/rules/states.ts";

export const LOCATION = { Location: { type: "string", description: "The path of the new resource" } };

export const LINK = {
  Link: {
    type: "string",
    description: 'The path of the next page, with rel="next"; absent on the last page',
  },
};

export const RETRY_AFTER = {
  "Retry-After": { type: "integer", description: "Seconds to wait before the next try" },
};

export const CONTENT_RANGE = {
  "Content-Range": {
    type: "string",
    description: "The range and the total number of bytes; the total is `*` while the run has not ended",
  },
};

export const RUN_HEADERS = {
  "X-Run-Id": { type: "string", format: "uuid", description: "The id of the run" },
  "X-Run-State": { type: "string", enum: [...RUN_STATES], description: "The state of the run" },
  "X-Exit-Code": {
    type: "integer",
    description: "The exit code of the run; absent until an attempt has ended",
  },
};

export const REPLAYED = {
  "Idempotency-Replayed": {
    type: "string",
    enum: ["true"],
    description: "Present when the key was used before: the response is the run of the first call",
  },
};
