/** Reads and checks the certificate and the key of the server before anything else starts. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createSecureContext } from "node:tls";
import { OperatorError } from "../errors.ts";

/** Certificate and key in PEM; `cert` includes the intermediate certificates. */
export interface Tls {
  cert: string;
  key: string;
}

/** Reads two PEM files. Throws OperatorError, which names the variable, when a file is unreadable or they do not match. */
export async function readTls(certFile: string, keyFile: string): Promise<Tls> {
  const cert = await read("TLS_CERT", certFile);
  const key = await read("TLS_KEY", keyFile);
  const certificate = parse(
    "TLS_CERT",
    `${certFile} contains no PEM certificate`,
    () => new X509Certificate(cert),
  );
  const privateKey = parse("TLS_KEY", `${keyFile} contains no PEM private key without a passphrase`, () =>
    createPrivateKey(key),
  );
  if (!certificate.checkPrivateKey(privateKey)) {
    throw new OperatorError(
      `TLS_KEY: ${keyFile} is not the key of the certificate in TLS_CERT (${certFile}).`,
    );
  }
  parse("TLS_CERT", `${certFile} and its key cannot be used`, () => createSecureContext({ cert, key }));
  return { cert, key };
}

async function read(variable: string, file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    throw new OperatorError(
      `${variable}: ${file} cannot be read (${(error as NodeJS.ErrnoException).code}).`,
    );
  }
}

function parse<Value>(variable: string, wrong: string, make: () => Value): Value {
  try {
    return make();
  } catch (error) {
    throw new OperatorError(`${variable}: ${wrong} (${(error as Error).message}).`);
  }
}
