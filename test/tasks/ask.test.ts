import type {RgbImage} from '../../src/data/image.js';
import {FIRST_DEVICE, onBackends} from '../support/backends.js';
import {valueWithoutLeaks} from '../support/leaks.js';
import {useMicroModels} from '../support/models/use-micro-models.js';

const picture: RgbImage = {width: 40, height: 30, data: Uint8Array.from({length: 3600}, (_, i) => (i * i) % 251)};
const code = (name: string): Error => expect.objectContaining({code: name, exitCode: 2}) as unknown as Error;

onBackends(
  'ask',
  () => {
    const {mues} = useMicroModels();
    // The features of the picture are remembered from now on.
    beforeAll(async () => await mues.mue.ask(picture, 'what is it?', {num_beams: 1, max_new_tokens: 1}));
    const ask = (answers: readonly string[], method: 'trie' | 'all-candidates') =>
      valueWithoutLeaks(() => mues.mue.ask(picture, 'what is it?', {answers, method, exit: 'never', num_beams: 2}));

    test.each(['trie', 'all-candidates'] as const)(
      '%s: the answer is an entry of the list, as it was given',
      async (method) => {
        // The micro vocabulary lacks most letters: decoded, these would read "<unk>".
        const answers = [' Dog ', 'two people', 'Übergröße'];
        const {text, hypotheses, notes} = await ask(answers, method);
        expect(answers).toContain(text);
        for (const hypothesis of hypotheses) expect(answers).toContain(hypothesis.text);
        expect(notes).toEqual([expect.stringContaining("'Übergröße'")]);
        expect((await ask(['two people', 'dog'], method)).notes).toEqual([]);
      },
    );
    test('entries that are the same to the model are an error that names both', async () => {
      await expect(mues.mue.ask(picture, 'what is it?', {answers: ['dog', ' dog']})).rejects.toThrow(
        code('answers-same'),
      );
      await expect(mues.mue.ask(picture, 'what is it?', {answers: ['dog', ' dog']})).rejects.toThrow(
        /'dog' and ' dog'/,
      );
      // The same entry twice is one entry.
      expect((await ask(['dog', 'dog'], 'all-candidates')).hypotheses.length).toBe(1);
    });
  },
  FIRST_DEVICE,
);
