/** Calls a running Carillon as curl would, with the answers typed as the API describes them. */
import type { z } from "zod";
import type { jobViewSchema } from "../../src/api/schemas/job-answers.ts";
import type { runListSchema, runSchema } from "../../src/api/schemas/run.ts";
import type { changesSchema } from "../../src/api/schemas/saves.ts";

export type Run = z.output<typeof runSchema>;
export type RunList = z.output<typeof runListSchema>;
export type Job = z.output<typeof jobViewSchema>;
export type Changes = z.output<typeof changesSchema>;

export interface Answer<T> {
  status: number;
  headers: Headers;
  body: T;
}

export interface Client {
  /** Any call; a string body is YAML, anything else JSON. Paths are below /api/v1. */
  call<T>(method: string, path: string, body?: unknown): Promise<Answer<T>>;
  /** Saves a job, whether or not it is there, and expects success. */
  putJob(name: string, document: object): Promise<Job>;
  /** Triggers a job and expects 202 or, after waiting, 200. */
  trigger(name: string, body?: object, wait?: string): Promise<Run>;
  /** Reads a run, waiting for its end when told to. */
  run(id: string, wait?: string): Promise<Run>;
  /** All runs of a job that there are now, newest first. */
  runs(query?: string): Promise<RunList["items"]>;
}

export function createClient(url: string, token: string): Client {
  async function call<T>(method: string, path: string, body?: unknown): Promise<Answer<T>> {
    const isYaml = typeof body === "string";
    const response = await fetch(`${url}/api/v1${path}`, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body !== undefined && { "content-type": isYaml ? "application/yaml" : "application/json" }),
      },
      ...(body !== undefined && { body: isYaml ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    const isJson = response.headers.get("content-type")?.includes("json") ?? false;
    return {
      status: response.status,
      headers: response.headers,
      body: (isJson ? JSON.parse(text) : text) as T,
    };
  }
  async function expectOk<T>(method: string, path: string, body?: unknown): Promise<T> {
    const answer = await call<T>(method, path, body);
    if (answer.status >= 300) throw new Error(`${method} ${path}: ${JSON.stringify(answer.body)}`);
    return answer.body;
  }
  return {
    call,
    putJob: (name, document) => expectOk("PUT", `/jobs/${encodeURIComponent(name)}`, document),
    trigger: (name, body, wait) =>
      expectOk("POST", `/jobs/${encodeURIComponent(name)}/trigger${wait ? `?wait=${wait}` : ""}`, body),
    run: (id, wait) => expectOk("GET", `/runs/${id}${wait ? `?wait=${wait}` : ""}`),
    runs: async (query = "") => (await expectOk<RunList>("GET", `/runs?${query}`)).items,
  };
}
