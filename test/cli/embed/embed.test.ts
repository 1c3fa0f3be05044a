import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {z} from 'zod';
import {classifiedSchema} from '../../../src/cli/schemas/answers.js';
import {embeddingSchema, foundSchema, recallSchema} from '../../../src/cli/schemas/embeddings.js';
import {convertCheckpoint} from '../../../src/node/model/convert.js';
import {cocaGoldenBytes, cocaGoldenDir, describeCoca} from '../../support/golden/golden-coca.js';
import {runMue} from '../../support/cli/run-mue.js';

const PICTURES = ['rgb0_96x64.png', 'rgb1_64x64.png', 'rgb2_50x70.png'];

describeCoca(
  'commands of a contrastive captioner',
  ['fullvocab/open_clip_config.json', 'fullvocab/open_clip_model.safetensors', 'images'],
  () => {
    let folder: string;
    let model: readonly string[];
    let pictures: readonly string[];
    const file = (name: string, text: string): string => {
      fs.writeFileSync(path.join(folder, name), text);
      return path.join(folder, name);
    };
    beforeAll(async () => {
      folder = fs.mkdtempSync(path.join(os.tmpdir(), 'mue-coca-'));
      for (const name of ['open_clip_config.json', 'open_clip_model.safetensors'])
        fs.writeFileSync(path.join(folder, name), cocaGoldenBytes(`fullvocab/${name}`));
      const output = path.join(folder, 'model');
      await convertCheckpoint({input: path.join(folder, 'open_clip_model.safetensors'), output});
      fs.mkdirSync(path.join(folder, 'pictures'));
      pictures = PICTURES.map((name) => path.join(folder, 'pictures', name));
      for (const [i, name] of PICTURES.entries())
        fs.copyFileSync(path.join(cocaGoldenDir, 'images', name), pictures[i]!);
      model = ['--model', output, '--device', 'wasm'];
    });
    afterAll(() => {
      fs.rmSync(folder, {recursive: true});
    });

    test('mue retrieve: finds an image that mue embed has embedded by itself', async () => {
      const out = path.join(folder, 'embedded');
      const data = path.dirname(pictures[0]!);
      const embedded = await runMue(['embed', ...model, '--data', data, '--out', out, '--quiet']);
      expect(embedded).toMatchObject({code: 0, stdout: '', stderr: ''});
      const lines = fs.readFileSync(path.join(out, 'embeddings.jsonl'), 'utf8').trimEnd().split('\n');
      expect(lines.map((line) => (JSON.parse(line) as {image: string}).image)).toEqual(PICTURES);
      const like = ['--embeddings', out, '--image', pictures[1]!];
      const found = await runMue(['retrieve', ...model, ...like, '--top', '1', '--json']);
      foundSchema.parse(JSON.parse(found.stdout));
      const {image, found: best} = JSON.parse(found.stdout) as {
        image: string;
        found: {image: string; similarity: number}[];
      };
      expect(image).toBe(pictures[1]);
      expect(best).toEqual([{image: PICTURES[1], similarity: expect.closeTo(1, 5)}]);
    });
    test('mue embed --text: vectors of unit length, and a warning for a text that is cut', async () => {
      const {code, stdout, stderr} = await runMue(['embed', ...model, '--text', 'a dog', 'a '.repeat(100)]);
      expect(code).toBe(0);
      const rows = stdout
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as {text: string; embedding: number[]});
      z.array(embeddingSchema).parse(rows);
      expect(rows.map(({embedding}) => Math.hypot(...embedding))).toEqual([expect.closeTo(1, 5), expect.closeTo(1, 5)]);
      expect(stderr).toContain('its last 26 tokens are cut off');
    });
    test('mue classify: reports a missing image and classifies the rest', async () => {
      const labels = file('labels.txt', 'dog\ncat\n');
      const images = [pictures[0]!, 'missing.png'];
      const {code, stdout} = await runMue(['classify', ...model, ...images, '--labels', labels, '--jsonl']);
      expect(code).toBe(5);
      const [first, second] = stdout
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as Record<string, unknown>);
      classifiedSchema.parse(first);
      const found = first!['labels'] as {label: string; probability: number}[];
      expect(found.map(({label}) => label).toSorted()).toEqual(['cat', 'dog']);
      expect(found[0]!.probability + found[1]!.probability).toBeCloseTo(1, 9);
      expect(second).toEqual({image: 'missing.png', error: expect.objectContaining({code: 'image-unreadable'})});
    });
    test('mue retrieve --data: recall of captions and images', async () => {
      const rows = PICTURES.map((image, i) =>
        JSON.stringify({id: `${i}`, image: `pictures/${image}`, references: [`a ${i}`, `the ${i}`]}),
      );
      const data = file('captions.jsonl', `${rows.join('\n')}\n`);
      const {code, stdout} = await runMue(['retrieve', ...model, '--data', data, '--recall', '1,6', '--json']);
      expect(code).toBe(0);
      const result = recallSchema.parse(JSON.parse(stdout));
      expect(result).toMatchObject({pictures: 3, captions: 6, skipped: 0});
      expect(result.recall[1]).toEqual({k: 6, textToImage: 1, imageToText: 1});
    });
    test('mue caption, mue entail: take a contrastive captioner', async () => {
      const greedy = ['--json', '--num-beams', '1', '--max-new-tokens', '4'];
      const caption = await runMue(['caption', ...model, pictures[0]!, ...greedy]);
      expect(JSON.parse(caption.stdout)).toMatchObject({layers: {vision: {run: 2, of: 2}}, backend: 'wasm'});
      const entail = await runMue(['entail', ...model, pictures[0]!, 'a dog', '--json']);
      expect(['yes', 'no', 'maybe']).toContain((JSON.parse(entail.stdout) as {text: string}).text);
    });
    test('mue classify, mue embed: take the shipped CoCa where no model is named', async () => {
      const labels = file('scene-labels.txt', 'a turtle\na rabbit\na cupcake\n');
      const picture = ['examples/pictures/04.png', '--device', 'wasm'];
      const classified = await runMue(['classify', ...picture, '--labels', labels, '--json']);
      expect(JSON.parse(classified.stdout)).toMatchObject({
        label: 'a turtle',
        layers: {vision: {run: 5, of: 6}},
      });
      const outputs = await Promise.all(
        [[], ['--model', 'scenes-coca']].map((model) => runMue(['embed', ...picture, ...model])),
      );
      expect(outputs[0]!.stdout).toBe(outputs[1]!.stdout);
      expect((JSON.parse(outputs[0]!.stdout) as {embedding: number[]}).embedding).toHaveLength(128);
    });
    test.each([
      ['empty labels', ['classify', 'x.png', '--labels', '@\n \n'], 'labels-empty'],
      ['a label twice', ['classify', 'x.png', '--labels', '@dog\ncat\ndog\n'], 'labels-duplicate'],
      ['no such labels', ['classify', 'x.png', '--labels', 'none.txt'], 'list-unreadable'],
      ['nothing to embed', ['embed'], 'no-input'],
      ['data without a folder', ['embed', '--data', '.'], 'out-missing'],
      ['nothing to look for', ['retrieve', '--embeddings', 'e.jsonl'], 'no-input'],
      ['recall of nothing', ['retrieve', '--data', '.', '--recall', '0'], 'recall-invalid'],
      [
        'a model without embeddings',
        ['embed', '--model', 'scenes-mue', '--text', 'a dog', '--device', 'cpu'],
        'task-unsupported',
      ],
    ])('mue embed, classify, retrieve: %s is wrong usage', async (_, args, code) => {
      const given = args.map((arg) => (arg.startsWith('@') ? file('list.txt', arg.slice(1)) : arg));
      const {code: exit, stdout, stderr} = await runMue(given);
      expect({exit, stdout}).toEqual({exit: 2, stdout: ''});
      expect(stderr).toContain(`error [${code}]`);
    });
  },
);
