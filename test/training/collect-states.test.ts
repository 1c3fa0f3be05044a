import fs from 'node:fs';
import {fixed} from '../../src/exit/policies/static.js';
import {never, stackPolicies} from '../../src/exit/policy.js';
import {openDataset} from '../../src/node/dataset/open.js';
import {TensorScope} from '../../src/runtime/tensor-scope.js';
import {collectStates} from '../../src/training/collect-states.js';
import {type AdapterTask, byPicture, type TrainingRow, trainingRows} from '../../src/training/rows.js';
import {MemoryStates} from '../../src/training/states.js';
import {trainExitAdapters} from '../../src/training/train-exit-adapters.js';
import * as tf from '@tensorflow/tfjs';
import {FIRST_DEVICE, onBackends} from '../support/backends.js';
import {closeArrays, LOGITS} from '../support/golden/close-to.js';
import {valueWithoutLeaks, withoutLeaks} from '../support/leaks.js';
import {useMicroModels} from '../support/models/use-micro-models.js';

const SNLI_VE = 'data/scenes/snli-ve-calibration.jsonl';
const rows = (task: AdapterTask, limit: number): AsyncGenerator<TrainingRow> =>
  trainingRows(
    openDataset(task === 'snli-ve' ? SNLI_VE : 'data/scenes/caption-val.jsonl', {task}),
    ({image}) => fs.promises.readFile((image as {path: string}).path),
    limit,
  );
async function* listed(list: readonly TrainingRow[]): AsyncGenerator<TrainingRow> {
  yield* list;
}
const picture = () => fs.promises.readFile('data/scenes/images/100001.jpg');

test('byPicture: neighbours with one picture together, at most 16', async () => {
  const row = (index: number, imageId: string): TrainingRow => ({index, id: String(index), imageId, picture});
  const list = [
    row(0, 'a'),
    row(1, 'a'),
    row(2, 'b'),
    row(3, 'a'),
    ...Array.from({length: 17}, (_, i) => row(4 + i, 'c')),
  ];
  const groups: number[][] = [];
  for await (const group of byPicture(listed(list))) groups.push(group.map(({index}) => index));
  expect(groups.map(({length}) => length)).toEqual([2, 1, 1, 16, 1]);
  expect(groups.flat()).toEqual(list.map(({index}) => index));
});

onBackends(
  'collectStates',
  () => {
    const {models, mues} = useMicroModels();

    test.each(['plain', 'mue'] as const)(
      '%s: the head reads from a state what scoring gives at that depth',
      async (kind) => {
        using scope = new TensorScope();
        const [model, pipeline] = [models[kind], mues[kind]];
        const store = new MemoryStates(4, model.stateSize);
        expect(await collectStates(pipeline, 'snli-ve', rows('snli-ve', 4), store)).toBe(4);
        expect(store.groups).toEqual([
          {index: 0, imageId: '100001', labels: [0, 1, 0]},
          {index: 3, imageId: '100002', labels: [expect.any(Number)]},
        ]);
        const [first, second] = fs.readFileSync(SNLI_VE, 'utf8').split('\n');
        const pixels = scope.hold(await pipeline.pixels(await picture()));
        const tokens = [first!, second!].map((line) =>
          pipeline.entailmentTokens((JSON.parse(line) as {text: string}).text),
        );
        const ids = tokens[0]!.answers.map(([token]) => token!);
        for (const [row, {source, target}] of tokens.entries()) {
          const encoded = scope.hold(await model.encode({pixels, prompts: [source]}, never));
          for (const layer of [1, 3, 4]) {
            const state = store.read(layer).slice(row * model.stateSize, (row + 1) * model.stateSize);
            const got = tf.tidy(() => model.logits(tf.tensor2d(state, [1, model.stateSize]), ids).dataSync());
            const at = [{row: 0, position: target.length - 1}];
            const policy = stackPolicies({decoder: fixed({layers: layer})});
            const {logits} = await model.score(encoded, {targets: [target], at, ids}, policy);
            closeArrays(got, await scope.hold(logits).data(), LOGITS);
          }
        }
      },
    );

    test.each(['plain', 'mue'] as const)(
      '%s: references of a picture are fed together as each by itself',
      async (kind) => {
        const [pipeline, {stateSize}] = [mues[kind], models[kind]];
        const texts = ['a dog', 'two dogs on the grass', 'a dog', 'a small dog in the sea', 'a cat'];
        const row = (references: readonly string[]): TrainingRow => ({
          index: 0,
          id: '0',
          imageId: 'a',
          picture,
          references,
        });
        const collect = async (references: readonly string[], most?: number): Promise<MemoryStates> => {
          const store = new MemoryStates(4, stateSize);
          const options = {...(most === undefined ? {} : {references: most})};
          await valueWithoutLeaks(() => collectStates(pipeline, 'caption', listed([row(references)]), store, options));
          return store;
        };
        // One that comes again says nothing new, and the fifth is one too many.
        const together = await collect(texts, 4);
        const alone: MemoryStates[] = [];
        for (const text of [texts[0]!, texts[1]!, texts[3]!]) alone.push(await collect([text]));
        expect(together.groups[0]!.labels).toEqual(alone.flatMap(({groups}) => groups[0]!.labels));
        for (const layer of [1, 4])
          closeArrays(
            together.read(layer),
            Float32Array.from(alone.flatMap((store) => [...store.read(layer)])),
            LOGITS,
          );
      },
    );

    test('captions: every position of a reference, or of the own caption', async () => {
      const store = new MemoryStates(4, models.mue.stateSize);
      await collectStates(mues.mue, 'caption', rows('caption', 1), store, {references: 1});
      const reference = mues.mue.captionTokens('a picture of a shopping cart in the sea');
      expect(store.groups).toEqual([{index: 0, imageId: '100001', labels: [...reference]}]);
      const own = new MemoryStates(4, models.mue.stateSize);
      await collectStates(mues.mue, 'caption', listed([{index: 0, id: '0', imageId: 'a', picture}]), own);
      const {tokens} = await mues.mue.caption(await picture(), {num_beams: 1, exit: 'never'});
      expect(own.groups[0]!.labels.slice(0, tokens.length)).toEqual(tokens);
      // At its own caption the last layer says the next token, but where the search forbids what it would say.
      const logits = tf.tidy(() =>
        models.mue
          .logits(tf.tensor2d(own.read(4), [own.groups[0]!.labels.length, models.mue.stateSize]))
          .argMax(1)
          .dataSync(),
      );
      expect(logits[0]).toBe(tokens[0]);
    });

    test('goes on where it was interrupted, and gives the same numbers', async () => {
      const [whole, part] = [0, 1].map(() => new MemoryStates(4, models.plain.stateSize));
      await collectStates(mues.plain, 'snli-ve', rows('snli-ve', 7), whole!);
      const controller = new AbortController();
      const interrupted = await withoutLeaks(() =>
        collectStates(mues.plain, 'snli-ve', rows('snli-ve', 7), part!, {
          signal: controller.signal,
          onProgress: (count) => count >= 3 && controller.abort(),
        }),
      );
      expect(interrupted).toMatchObject({error: {code: 'aborted'}});
      expect(part!.groups).toHaveLength(1);
      await valueWithoutLeaks(() => collectStates(mues.plain, 'snli-ve', rows('snli-ve', 7), part!));
      expect(part!.groups).toEqual(whole!.groups);
      expect(part!.read(2)).toEqual(whole!.read(2));
    });

    test('a row that cannot be used is reported, or thrown', async () => {
      const row = (index: number, imageId: string, more: Partial<TrainingRow>): TrainingRow => ({
        ...{index, id: String(index), imageId, picture},
        ...more,
      });
      const list = [
        row(0, 'a', {text: 'there is a dog'}),
        row(1, 'a', {}),
        row(2, 'b', {text: 'a cat', picture: () => Promise.resolve(new Uint8Array(3))}),
      ];
      const bad: string[] = [];
      const store = new MemoryStates(4, models.plain.stateSize);
      await collectStates(mues.plain, 'snli-ve', listed(list), store, {
        onBadRow: ({line, error}) => bad.push(`${line} ${error.code}`),
      });
      expect(store.groups).toEqual([{index: 0, imageId: 'a', labels: [-1]}]);
      expect(bad).toEqual(['2 row-incomplete', expect.stringMatching(/^3 /)]);
      await expect(collectStates(mues.plain, 'snli-ve', listed(list.slice(1)), store)).rejects.toMatchObject({
        code: 'row-incomplete',
      });
    });

    test('trainExitAdapters: from rows to adapters and a report', async () => {
      const {adapters, report} = await valueWithoutLeaks(async () => {
        const trained = await trainExitAdapters(mues.plain, 'snli-ve', rows('snli-ve', 9), {steps: 4, heldOut: 0.5});
        trained.adapters?.[Symbol.dispose]();
        return trained;
      });
      expect(report).toMatchObject({task: 'snli-ve', stack: 'decoder', positions: 9, heldOut: 9, classes: 3});
      expect(report.layers.map(({layer}) => layer)).toEqual([1, 2, 3]);
      expect(adapters === undefined).toBe(report.layers.every(({kept}) => !kept));
    });
  },
  FIRST_DEVICE,
);
