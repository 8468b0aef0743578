/** TLS: what the server does with a certificate, and which files it refuses by the name of the variable. */
import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { type IncomingMessage, request } from "node:http";
import { request as tlsRequest } from "node:https";
import { connect } from "node:net";
import { join } from "node:path";
import { buffer, text } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readTls } from "../../src/api/tls.ts";
import { OperatorError } from "../../src/errors.ts";
import { certificate } from "../support/certificate.ts";
import { type Folder, temporaryFolder } from "../support/temporary-folder.ts";
import { BEARER, listen } from "../support/tiny-api.ts";

const pair = certificate();
let folder: Folder;
const file = (name: string) => join(folder.path, name);
beforeAll(async () => {
  folder = await temporaryFolder();
  await writeFile(file("cert.pem"), pair.cert);
  await writeFile(file("key.pem"), pair.key);
  await writeFile(file("other-key.pem"), certificate().key);
  await writeFile(file("text.pem"), "no PEM");
  const { privateKey } = generateKeyPairSync("ed25519");
  const cipher = { cipher: "aes-256-cbc", passphrase: "secret", type: "pkcs8", format: "pem" } as const;
  await writeFile(file("locked-key.pem"), privateKey.export(cipher));
});
afterAll(() => folder[Symbol.asyncDispose]());

describe("a server with a certificate", () => {
  it("answers over TLS, with the same limits and headers as without it", async () => {
    const tls = await readTls(file("cert.pem"), file("key.pem"));
    const { app, port } = await listen({ tls });
    try {
      expect(app.server).toMatchObject({
        requestTimeout: 10_000,
        headersTimeout: 5_000,
        maxConnections: 1_001,
      });
      const get = async (headers: object, path = "/private/a") => {
        const call = tlsRequest({
          port,
          path,
          ca: pair.cert,
          servername: "localhost",
          headers: { authorization: BEARER, ...headers },
        });
        call.end();
        const [answer] = (await once(call, "response")) as [IncomingMessage];
        return { status: answer.statusCode, headers: answer.headers, body: await text(answer) };
      };
      const { status, headers } = await get({});
      expect(status).toBe(200);
      expect(headers["x-content-type-options"]).toBe("nosniff");
      expect(headers).not.toHaveProperty("strict-transport-security");
      expect((await get({ origin: `https://localhost:${port}` })).status).toBe(200);
      expect((await get({ origin: `http://localhost:${port}` })).status).toBe(403);
      expect((await get({ host: "evil.example" })).status).toBe(403);
    } finally {
      await app.close();
    }
  });

  it("answers nothing to a client that speaks plain HTTP", async () => {
    const { app, port } = await listen({ tls: pair });
    try {
      const call = request({ port, path: "/healthz", host: "127.0.0.1" });
      call.end();
      await expect(once(call, "response")).rejects.toThrow(/socket hang up|ECONNRESET/);
      const socket = connect(port, "127.0.0.1");
      socket.end("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
      // At most an alert of TLS.
      expect((await buffer(socket)).toString()).not.toContain("HTTP");
    } finally {
      await app.close();
    }
  });
});

describe("files that cannot be used", () => {
  it.each([
    ["nothing.pem", "key.pem", /^TLS_CERT: .*nothing\.pem cannot be read \(ENOENT\)\.$/],
    ["", "key.pem", /^TLS_CERT: .* cannot be read \(EISDIR\)\.$/],
    ["text.pem", "key.pem", /^TLS_CERT: .*text\.pem contains no PEM certificate/],
    ["key.pem", "key.pem", /^TLS_CERT: .*key\.pem contains no PEM certificate/],
    ["cert.pem", "nothing.pem", /^TLS_KEY: .*nothing\.pem cannot be read \(ENOENT\)\.$/],
    ["cert.pem", "text.pem", /^TLS_KEY: .*text\.pem contains no PEM private key/],
    ["cert.pem", "cert.pem", /^TLS_KEY: .*cert\.pem contains no PEM private key/],
    [
      "cert.pem",
      "locked-key.pem",
      /^TLS_KEY: .*locked-key\.pem contains no PEM private key without a passphrase/,
    ],
    ["cert.pem", "other-key.pem", /^TLS_KEY: .*other-key\.pem is not the key of the certificate in TLS_CERT/],
  ])("%s and %s", async (cert, key, message) => {
    const refused = readTls(file(cert), file(key));
    await expect(refused).rejects.toThrow(OperatorError);
    await expect(refused).rejects.toThrow(message);
    // No secret of the file goes into the message.
    await expect(refused).rejects.not.toThrow(pair.key.split("\n")[1]);
  });
});
