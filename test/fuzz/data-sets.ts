import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {openDataset} from '../../src/node/dataset/open.js';
import {goldenBytes} from '../support/golden/golden.js';
import type {Target} from './campaign.js';
import {mutateBytes, mutateJson, pick} from './mutate.js';

const SCENES = path.join(import.meta.dirname, '..', '..', 'data', 'scenes');
const WORDS = [
  '\t',
  '\t\t\t',
  '&&',
  '|!+',
  '\n',
  '\r\n',
  '\xef\xbb\xbf',
  'null',
  '1e999',
  '[',
  ']',
  '{',
  '}',
  '"',
  '\\',
  '\0',
  '====',
  '\xff\xfe',
  '"__proto__":{"polluted":1},',
  '"image":"../../../../etc/passwd",',
  '"image":"a\\u0000b.png",',
  '"id":"\\u001b[31mX",',
  '"references":[],',
];
const TASKS = ['caption', 'snli-ve', 'vqa'] as const;
const lines = (text: Buffer | string, count: number): string =>
  `${text.toString().split('\n').slice(0, count).join('\n')}\n`;
const KARPATHY = {
  dataset: 'coco',
  images: [
    {filepath: 'val2014', filename: 'a.jpg', split: 'test', cocoid: 5, sentences: [{raw: 'a cat'}, {raw: 'b'}]},
    {filename: 'b.jpg', imgid: 3, split: 'val', sentences: [{raw: 'x'}]},
  ],
};
const TSV = ['caption.tsv', 'snli_ve.tsv', 'vqa.tsv'].map((name) => lines(Buffer.from(goldenBytes(name)), 2));
const JSONL = TASKS.map((task) => lines(fs.readFileSync(path.join(SCENES, `${task}-test.jsonl`)), 3));

/** Data sets of every format. */
export const dataSets: Target = {
  name: 'data sets',
  seconds: 2,
  bytes: 3e8,
  async run(random) {
    const task = random.below(3);
    const kind = pick(['tsv', 'jsonl', 'json'] as const, random);
    const seed = kind === 'tsv' ? TSV[task]! : kind === 'jsonl' ? JSONL[task]! : JSON.stringify(KARPATHY);
    const asJson = kind !== 'tsv' && random.below(2) === 0;
    const bytes = asJson
      ? seed
          .trimEnd()
          .split('\n')
          .map((line) => JSON.stringify(mutateJson(JSON.parse(line), random)))
          .join('\n')
      : mutateBytes(Buffer.from(seed), WORDS, random);
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'mue-fuzz-'));
    try {
      const file = path.join(folder, `data.${kind}`);
      fs.writeFileSync(file, bytes);
      let rows = 0;
      const skip = random.below(2) === 0 ? {onBadRow: () => {}} : {};
      for await (const {image} of openDataset(file, {task: TASKS[task]!, ...skip})) {
        rows++;
        if ('path' in image && path.relative(folder, image.path).startsWith('..'))
          throw new Error(`outside: ${image.path}`);
      }
      return rows > 0 ? 'rows' : 'no row';
    } finally {
      fs.rmSync(folder, {recursive: true});
    }
  },
};
