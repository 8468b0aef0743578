/** Frames are decoded as they were encoded, however the socket splits them. */
import fc from "fast-check";
import { expect, it } from "vitest";
import {
  createFrameReader,
  decodePayload,
  encodeFrame,
  FRAME,
  type Frame,
} from "../../../src/worker/runner/frames.ts";

const frames = fc.array(
  fc.record({
    type: fc.constantFrom(...Object.values(FRAME)),
    command: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
    payload: fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)),
  }),
);

it("may be split anywhere and are read completely and in order", () => {
  fc.assert(
    fc.property(frames, fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }), (sent, sizes) => {
      const stream = Buffer.concat(
        sent.map(({ type, command, payload }) => encodeFrame(type, command, payload)),
      );
      const read: Frame[] = [];
      const onChunk = createFrameReader((frame) => read.push(frame));
      for (let at = 0, n = 0; at < stream.length; n++) {
        const size = sizes[n % sizes.length] ?? 1;
        onChunk(stream.subarray(at, at + size));
        at += size;
      }
      expect(read).toEqual(sent);
    }),
  );
});

it("carry objects", () => {
  const read: Frame[] = [];
  createFrameReader((frame) => read.push(frame))(encodeFrame(FRAME.credit, 7, { bytes: 3 }));
  expect(read.map((frame) => decodePayload(frame))).toEqual([{ bytes: 3 }]);
});
