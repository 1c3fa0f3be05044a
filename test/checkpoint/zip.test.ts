import yauzl from 'yauzl';
import {MemoryAccess} from '../support/data/memory-access.js';
import {ZipFile} from '../../src/checkpoint/zip.js';
import {goldenBytes} from '../support/golden/golden.js';
import {type ZipItem, zip} from '../support/data/torch-zip-writer.js';

const open = (bytes: Uint8Array): Promise<ZipFile> => ZipFile.open(new MemoryAccess('test.zip', bytes));
const text = Buffer.from('some text, some text, some text');
const item = (name: string, more: Partial<ZipItem> = {}): ZipItem => ({name, data: text, ...more});

async function readAll(bytes: Uint8Array, name: string, limit = 1000): Promise<string> {
  const file = await open(bytes);
  return Buffer.from(await file.readAll(file.entries.get(name)!, limit)).toString();
}

interface Listed {
  readonly name: string;
  readonly bytes: number;
}
function listWithYauzl(bytes: Uint8Array): Promise<Listed[]> {
  return new Promise((resolve, reject) => {
    yauzl.fromBuffer(Buffer.from(bytes), {lazyEntries: false}, (error, file) => {
      if (error) return reject(error);
      const listed: Listed[] = [];
      file.on('entry', (entry: yauzl.Entry) => void listed.push({name: entry.fileName, bytes: entry.uncompressedSize}));
      file.on('error', reject);
      file.on('end', () => resolve(listed));
    });
  });
}

test.each(['ofa_micro.pt', 'ofa_micro_fp32_full.pt'])(
  'ZipFile: the directory of %s is what yauzl sees',
  async (name) => {
    const bytes = goldenBytes(name);
    const {entries} = await open(bytes);
    const byName = (a: Listed, b: Listed): number => (a.name < b.name ? -1 : 1);
    const ours = [...entries.values()].map(({name, bytes}) => ({name, bytes}));
    expect(ours.sort(byName)).toEqual((await listWithYauzl(bytes)).sort(byName));
  },
);

test.each([false, true])('ZipFile: reads stored and deflated entries, zip64 %s', async (zip64) => {
  const bytes = zip([item('a'), item('b/c', {deflate: true})], {zip64});
  expect(await readAll(bytes, 'a')).toBe(text.toString());
  expect(await readAll(bytes, 'b/c')).toBe(text.toString());
});

test('ZipFile: a deflated entry has no position to read tensors from', async () => {
  const file = await open(zip([item('a', {deflate: true})]));
  await expect(file.locate(file.entries.get('a')!)).rejects.toMatchObject({code: 'unsupported-zip'});
});

test.each<[string, () => Uint8Array, RegExp]>([
  ['a stored entry with two lengths', () => zip([item('a', {says: {bytes: 5}})]), /stored, yet says/],
  ['an entry longer than the file', () => zip([item('a', {says: {bytes: 5000, compressed: 5000}})]), /overlap/],
  [
    'an entry that reaches into the next',
    () => zip([item('a', {says: {bytes: 60, compressed: 60, localBytes: 60}}), item('b')]),
    /overlap/,
  ],
  ['two entries at one place', () => zip([item('a'), item('b', {says: {offset: 0}})]), /overlap/],
  ['an entry behind the directory', () => zip([item('a', {says: {offset: 4000}})]), /behind the directory/],
  ['one name twice', () => zip([item('a'), item('a')]), /two entries/],
  ['headers that disagree', () => zip([item('a', {says: {localBytes: 7}})]), /at the front/],
  [
    'a bomb: more inside than it says',
    () => zip([{name: 'a', data: Buffer.alloc(1e6), deflate: true, says: {bytes: 100}}]),
    /inflates to more/,
  ],
  ['less inside than it says', () => zip([item('a', {deflate: true, says: {bytes: 500}})]), /inflates to 31 bytes/],
  ['a bomb: more than the limit', () => zip([{name: 'a', data: Buffer.alloc(1e6), deflate: true}]), /at most 1000/],
  ['a directory that is not there', () => zip([item('a')]).fill(0, 32, 70), /missing|overlap|says/],
])('%s is a WeightsError', async (_, make, message) => {
  await expect(readAll(make(), 'a')).rejects.toMatchObject({
    name: 'WeightsError',
    message: expect.stringMatching(message),
  });
});

test('ZipFile: damaged deflate data is an error', async () => {
  const bytes = zip([item('a', {deflate: true})]);
  bytes.fill(0xff, 31, 40);
  await expect(readAll(bytes, 'a')).rejects.toMatchObject({code: 'damaged-zip'});
});
