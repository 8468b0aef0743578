/** The certificate and key of the server, read and checked before anything else starts. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createSecureContext } from "node:tls";
import { OperatorError } from "../errors.ts";

/** Both as PEM; the certificate with those that it hangs from. */
export interface Tls {
  cert: string;
  key: string;
}

/** Reads two PEM files. Throws OperatorError, which names the variable, when they cannot be read or do not fit. */
export async function readTls(certFile: string, keyFile: string): Promise<Tls> {
  const cert = await read("TLS_CERT", certFile);
  const key = await read("TLS_KEY", keyFile);
  const certificate = parse(
    "TLS_CERT",
    `${certFile} has no certificate in PEM`,
    () => new X509Certificate(cert),
  );
  const privateKey = parse("TLS_KEY", `${keyFile} has no private key in PEM without a passphrase`, () =>
    createPrivateKey(key),
  );
  if (!certificate.checkPrivateKey(privateKey)) {
    throw new OperatorError(
      `TLS_KEY: ${keyFile} is not the key of the certificate in TLS_CERT, ${certFile}.`,
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
