import {execFileSync} from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import {readAnswers, readImage, readList} from '../../../src/cli/core/inputs.js';
import {FileAccess} from '../../../src/node/model/file-access.js';
import {vocabularyText} from '../../../src/node/model/vocabulary.js';
import {decodeText, readRegularFile, readTextFile} from '../../../src/node/files/regular-file.js';

const root = fs.mkdtempSync(path.join(os.tmpdir(), 'mue-files-'));
afterAll(() => fs.rmSync(root, {recursive: true}));
const at = (name: string): string => path.join(root, name);
const write = (name: string, content: string | Uint8Array): string => {
  fs.writeFileSync(at(name), content);
  return at(name);
};

test('readRegularFile: a file, and a link to one', () => {
  write('file', 'abc');
  fs.symlinkSync(at('file'), at('link'));
  expect([readRegularFile(at('file')), readRegularFile(at('link'))].map(String)).toEqual(['abc', 'abc']);
});

// A pipe whose other end nobody opens would wait for ever.
test('what is no file is refused at once, and said: pipe, link to one, socket, device, folder', async () => {
  execFileSync('mkfifo', [at('pipe')]);
  fs.symlinkSync(at('pipe'), at('link to a pipe'));
  const server = net.createServer().listen(at('socket'));
  await new Promise((resolve) => server.once('listening', resolve));
  for (const [name, kind] of [
    ['pipe', 'a named pipe'],
    ['link to a pipe', 'a named pipe'],
    ['socket', 'a socket'],
    ['.', 'a folder'],
  ] as const)
    expect(() => readRegularFile(at(name))).toThrow(`is ${kind}, not a file`);
  expect(() => readRegularFile('/dev/null')).toThrow('is a device, not a file');
  await expect(readImage(at('pipe'))).rejects.toMatchObject({code: 'image-unreadable'});
  expect(() => FileAccess.open(at('pipe'))).toThrow(expect.objectContaining({code: 'unreadable-file'}));
  expect(() => readList(at('pipe'), '--labels')).toThrow(expect.objectContaining({code: 'list-unreadable'}));
  await new Promise((resolve) => server.close(resolve));
});

test('readTextFile: drops a byte order mark, and refuses what is no UTF-8', () => {
  expect(readTextFile(write('marked', '\ufeff{"a": "é"}'))).toBe('{"a": "é"}');
  expect(() => readTextFile(write('utf16', Buffer.from('\ufeffmouse', 'utf16le')))).toThrow('UTF-16');
  expect(() => decodeText(Uint8Array.of(0x61, 0xe9, 0x62))).toThrow('not UTF-8');
});

test('answers, lists, dictionaries: a byte order mark is no part of the first entry; UTF-16 is refused', () => {
  const marked = write('answers', '\ufeffmouse.\ndog\n');
  expect(readAnswers(marked)).toEqual(['mouse.', 'dog']);
  expect(readList(marked, '--labels')).toEqual(['mouse.', 'dog']);
  expect(vocabularyText(fs.readFileSync(marked), 'dictionary')).toBe('mouse.\ndog\n');
  const utf16 = write('utf16 answers', Buffer.from('\ufeffmouse', 'utf16le'));
  expect(() => readAnswers(utf16)).toThrow(expect.objectContaining({code: 'answers-unreadable'}));
  expect(() => vocabularyText(fs.readFileSync(utf16), 'dictionary')).toThrow(
    expect.objectContaining({code: 'bad-vocabulary'}),
  );
});
