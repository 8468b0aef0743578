/** The output of a run as it is read: whole, in part, and any bytes. */
import supertest from "supertest";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startTestService, type TestService } from "../../support/test-service.ts";

const OUTPUT = "one\ntwo\nthree é\nfour";

let service: TestService;
let done: string;
beforeAll(async () => {
  service = await startTestService();
  done = await printed("done", { command: ["printf", OUTPUT.replaceAll("\n", "\\n")] });
}, 30_000);
afterAll(() => service?.[Symbol.asyncDispose]());

/** Runs a job to its end; answers the run. */
async function printed(name: string, job: object): Promise<string> {
  await service.client.putJob(name, job);
  return (await service.client.trigger(name, undefined, "50s")).id;
}

const log = (id: string, query = "", headers: Record<string, string> = {}) =>
  supertest(service.url)
    .get(`/api/v1/runs/${id}/log${query}`)
    .set({ authorization: `Bearer ${service.token}`, ...headers });

describe("tail", () => {
  it.each([
    [0, ""],
    [1, "four"],
    [2, "three é\nfour"],
    [3, "two\nthree é\nfour"],
    [4, OUTPUT],
    [100_000, OUTPUT],
  ])("of %i lines is what tail -n gives", async (lines, text) => {
    expect((await log(done, `?tail=${lines}`).expect(200)).text).toBe(text);
  });

  it("counts no line after the last line break, and counts a new line after a gap", async () => {
    const ended = await printed("ended", { command: "printf 'a\\n\\nb\\n'" });
    expect((await log(ended, "?tail=1")).text).toBe("b\n");
    expect((await log(ended, "?tail=2")).text).toBe("\nb\n");
    const cut = await printed("cut", { command: "head -c 3000 /dev/zero | tr '\\0' x", log_limit: "1KiB" });
    expect((await log(cut, "?tail=1")).text).toBe("x".repeat(512));
  });

  it("goes back over attempts", async () => {
    const command = "echo $CARILLON_ATTEMPT; printf end; exit 1";
    const id = await printed("tail-attempts", { command, retries: 2, retry: { delay: "1ms" } });
    expect((await log(id, "?tail=9")).text).toBe("2\nend");
    expect((await log(id, "?attempt=all&tail=3")).text).toBe("end2\nend");
    expect((await log(id, "?attempt=0&tail=1")).text).toBe("end");
  });

  it.each(["-1", "1.5", "", "100001", "x"])("refuses %j", async (lines) => {
    expect((await log(done, `?tail=${lines}`).expect(400)).body.code).toBe("bad_request");
  });
});

describe("Range", () => {
  const bytes = Buffer.from(OUTPUT);
  it.each([
    ["bytes=0-2", 0, 2],
    ["bytes=4-", 4, bytes.length - 1],
    ["bytes=-4", bytes.length - 4, bytes.length - 1],
    ["bytes=-9999", 0, bytes.length - 1],
    ["bytes=0-9999", 0, bytes.length - 1],
    ["Bytes=3-3", 3, 3],
  ])("%s", async (range, first, last) => {
    const { headers, body } = await log(done, "", { range }).responseType("blob").expect(206);
    expect(Buffer.from(body)).toEqual(bytes.subarray(first, last + 1));
    expect(headers).toMatchObject({
      "content-range": `bytes ${first}-${last}/${bytes.length}`,
      "content-length": String(last + 1 - first),
      "content-type": "text/plain; charset=utf-8",
    });
  });

  it("may begin and end within a character", async () => {
    const at = bytes.indexOf("é");
    const { body } = await log(done, "", { range: `bytes=${at + 1}-${at + 1}` })
      .responseType("blob")
      .expect(206);
    expect(Buffer.from(body)).toEqual(Buffer.from([0xa9]));
  });

  it.each(["bytes=21-", "bytes=900719925474099-", "bytes=-0"])("%s has nothing in it", async (range) => {
    const { body, headers } = await log(done, "", { range }).expect(416);
    expect(body.code).toBe("range_not_satisfiable");
    expect(headers["content-range"]).toBe(`bytes */${bytes.length}`);
  });

  it.each(["bytes=5-2", "bytes=0-1,3-4", "lines=1-2", "bytes=a-b", "bytes=-", "bytes", ""])(
    "%j is answered by all of it",
    async (range) => {
      const { text, headers } = await log(done, "", { range }).expect(200);
      expect(text).toBe(OUTPUT);
      expect(headers["accept-ranges"]).toBe("bytes");
    },
  );

  it("applies to the lines that were asked for", async () => {
    const { headers } = await log(done, "?tail=1", { range: "bytes=1-2" }).expect(206);
    expect(headers["content-range"]).toBe("bytes 1-2/4");
  });
});

it("answers HEAD without the output", async () => {
  const head = () =>
    supertest(service.url).head(`/api/v1/runs/${done}/log`).set("authorization", `Bearer ${service.token}`);
  const { headers, text } = await head().expect(200);
  expect(text).toBeUndefined();
  expect(headers["content-type"]).toBe("text/plain; charset=utf-8");
  await head().query({ follow: "true" }).expect(200);
  await head().set("accept", "text/event-stream").expect(200);
  await head().set("range", "bytes=0-1").expect(200);
});

it("has NUL, bad UTF-8 and escape codes as they can be shown", async () => {
  const command = "printf '\\033[31mred\\033[0m\\0 \\377\\303 \\360\\237\\224\\224\\r\\n\\357\\273\\277bom'";
  const id = await printed("bytes", { command });
  const text = "\u001b[31mred\u001b[0m\uFFFD \uFFFD\uFFFD 🔔\r\n\uFEFFbom";
  expect((await log(id)).text).toBe(text);
  expect((await service.client.run(id)).log).toBe(text);
});

it("keeps head and end of one endless line, and says how much it cut", async () => {
  const bytes = 8 * 1_048_576;
  const id = await printed("line", { command: `yes é | tr -d '\\n' | head -c ${bytes}`, log_limit: "64KiB" });
  const { text } = await log(id);
  const line = `\n... ${bytes - 65_536} bytes omitted ...\n`;
  expect(text).toBe("é".repeat(16_384) + line + "é".repeat(16_384));
  expect(await service.client.run(id)).toMatchObject({ log_truncated: true, state: "succeeded" });
});

it("refuses an invalid place in an output, and answers 404 for unknown runs", async () => {
  const events = { accept: "text/event-stream" };
  for (const id of ["x", "1", "0:-1", "0:1:2", "0:99999999999999999", "0:1, 0:2"]) {
    const { body } = await log(done, "", { ...events, "last-event-id": id }).expect(400);
    expect(body.code).toBe("bad_request");
  }
  await log("01890000-0000-7000-8000-000000000000", "?follow=true").expect(404);
  await log(done, "?attempt=1&follow=true").expect(404);
  // A place that is not there is behind the end.
  const { text } = await log(done, "", { ...events, "last-event-id": "7:999999999999999" }).expect(200);
  expect(text).toBe('retry: 1000\n\nevent: end\ndata: {"state":"succeeded","status":0}\n\n');
  const { text: beyond } = await log(done, "", { ...events, "last-event-id": "0:999999999999999" });
  expect(beyond).toBe(text);
});

it("is empty for a run that has not begun", async () => {
  await service.client.putJob("one", { command: "sleep 60", concurrency: { limit: 1 } });
  await service.client.trigger("one");
  const { id } = await service.client.trigger("one");
  for (const query of ["", "?attempt=all", "?tail=3"])
    expect((await log(id, query).expect(200)).text).toBe("");
  await log(id, "?attempt=0").expect(404);
  await log(id, "", { range: "bytes=0-" }).expect(416);
});

it("keeps stdout and stderr in their order, and any bytes", async () => {
  await service.client.putJob("mixed", { command: "echo 1; echo 2 >&2; echo 3; printf 'a\\0b\\377c'" });
  const run = await service.client.trigger("mixed", undefined, "30s");
  expect(run.log).toBe("1\n2\n3\na\uFFFDb\uFFFDc");
  const answer = await log(run.id).expect(200);
  expect(answer.headers["content-type"]).toBe("text/plain; charset=utf-8");
  expect(answer.text).toBe(run.log);
});

it("has the log of each attempt", async () => {
  await service.client.putJob("counting", {
    command: "echo x >> n; wc -l < n; exit 1",
    retries: 2,
    retry: { delay: "1ms" },
  });
  const { id } = await service.client.trigger("counting", undefined, "30s");
  const numbers = async (query: string) => (await log(id, query)).text.split(/\s+/).filter(Boolean);
  expect(await numbers("")).toEqual(["3"]);
  expect(await numbers("?attempt=0")).toEqual(["1"]);
  expect(await numbers("?attempt=all")).toEqual(["1", "2", "3"]);
  await log(id, "?attempt=3").expect(404);
});
