/** Calls of a service by supertest, with its token and below /api/v1. */
import supertest from "supertest";
import type { TestService } from "./test-service.ts";

export type Call = (
  method: "get" | "post" | "put" | "patch" | "delete",
  path: string,
  body?: object,
) => supertest.Test;

/** Reads the service at each call, so that it may be started later. */
export function caller(service: () => TestService): Call {
  return (method, path, body) => {
    const { url, token } = service();
    const request = supertest(url)[method](`/api/v1${path}`).set("authorization", `Bearer ${token}`);
    return body === undefined ? request : request.send(body);
  };
}
