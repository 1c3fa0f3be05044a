import {unpickle} from '../../src/checkpoint/pickle.js';
import path from 'node:path';
import {openCheckpoint} from '../../src/node/model/open-checkpoint.js';

const file = (name: string): string => path.join('test/fixtures/faults', name);

describe('openCheckpoint: hostile files', () => {
  test.each([
    ['pickle-calls.pt', 'zip-too-large', /at most \d+ are read/],
    ['pickle-latin1.pt', 'zip-too-large', /at most \d+ are read/],
    ['pickle-storage-constructor.pt', 'unsupported-dtype', /torch\.constructor/],
    ['t-lfs.safetensors', 'damaged-safetensors', /Git LFS pointer/],
  ])('%s is refused by name', async (name, code, message) => {
    const error = await openCheckpoint(file(name)).then(
      () => undefined,
      (reason: unknown) => reason as {code: string; message: string},
    );
    expect(error?.code).toBe(code);
    expect(error?.message).toMatch(message);
  });
});

describe('unpickle: the cost of what is recalled', () => {
  const ascii = (text: string): Uint8Array => Buffer.from(text, 'latin1');
  const manyArguments = Buffer.concat([ascii('\x80\x02('), Buffer.alloc(200_000, 'K\x01'), ascii('tq\x000')]);

  test.each([
    ['a long tuple called over and over', 'ccollections\nFoo\nq\x010', 'h\x01h\x00R0'],
    ['a long list copied over and over', 'cbuiltins\nlist\nq\x010h\x00\x85q\x020', 'h\x01h\x02R0'],
  ])('%s is refused', (_, head, call) => {
    const bytes = Buffer.concat([manyArguments, ascii(head), Buffer.alloc(100_000 * call.length, call), ascii('}.')]);
    expect(() => unpickle(bytes, {source: 'x.pt'})).toThrow(/more work or memory than a checkpoint asks for/);
  });
});
