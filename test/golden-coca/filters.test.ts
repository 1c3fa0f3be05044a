import {applySamplingRules} from '../../src/generation/sampling.js';
import {penalizeRepetition, softmax} from '../../src/generation/logits.js';
import {closeArrays} from '../support/golden/close-to.js';
import {cocaArrays, describeCoca} from '../support/golden/golden-coca.js';

describeCoca('rules on scores equal the release', ['micro/goldens.safetensors'], () => {
  const arrays = cocaArrays('micro/goldens.safetensors');
  const logits = arrays['filter.logits']!;
  const [rows, size] = logits.shape as [number, number];
  const row = (name: string, r: number): Float64Array =>
    Float64Array.from({length: size}, (_, i) => Number(arrays[name]!.data[r * size + i]));

  test('repetition penalty', () => {
    const previous = arrays['filter.previous']!;
    for (let r = 0; r < rows; r++) {
      const scores = row('filter.logits', r);
      const each = previous.shape[1]!;
      const tokens = Array.from(previous.data as BigInt64Array, Number).slice(r * each, (r + 1) * each);
      penalizeRepetition(scores, tokens, 1.3);
      closeArrays(scores, row('filter.repetition_penalty_1.3', r), 1e-5);
    }
  });
  test.each([
    ['filter.top_k_5_temperature_0.7.probabilities', {topK: 5, temperature: 0.7}],
    ['filter.top_p_0.1.probabilities', {topP: 0.1, temperature: 1}],
    ['filter.top_p_0.9_temperature_0.7.probabilities', {topP: 0.9, temperature: 0.7}],
  ])('%s', (name, options) => {
    for (let r = 0; r < rows; r++) {
      const scores = row('filter.logits', r);
      applySamplingRules(scores, [], {
        rules: 'classic',
        prompt: [],
        end: 511,
        maxLength: 16,
        minLength: 0,
        repetitionPenalty: 1,
        ...options,
      });
      const expected = row(name, r);
      const found = softmax(scores);
      closeArrays(found, expected, 1e-5);
      expect(found.map((p) => Number(p > 0))).toEqual(expected.map((p) => Number(p > 0)));
    }
  });
});
