/** Makes tokens for tests. */
import type { TestService } from "./test-service.ts";

/** A token of this name: the token itself. */
export async function makeToken(service: TestService, name: string, asked: object): Promise<string> {
  const { status, body } = await service.client.call<{ token: string }>("POST", "/tokens", {
    name,
    ...asked,
  });
  if (status !== 201) throw new Error(`POST /tokens: ${status} ${JSON.stringify(body)}`);
  return body.token;
}
