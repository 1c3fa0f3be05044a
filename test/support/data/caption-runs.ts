import type {Runs, RunsRow} from '../../../src/calibration/settings/runs.js';
import {SETTING_RUNS} from '../../../src/calibration/settings/runs.js';
import {seededRandom} from '../../../src/runtime/random.js';

const WORDS = ['a', 'red', 'kite', 'above', 'the', 'blue', 'house', 'of', 'two', 'trees'];

/**
 * Runs of a captioner of 2 + 2 + 2 layers, whose full depth gives the reference. A fixed decoder depth of 1 changes a
 * word in so many of the pictures, fixed image depth 1 changes all words in half of them.
 */
export function syntheticRuns(pictures: number, changed: number, seed = 1): Runs {
  const random = seededRandom(seed);
  const fixed = {encoder: 'fixed', policy: 'fixed'} as const;
  const settings = [
    {...fixed, image: 2, text: 2, decoder: 2},
    {...fixed, image: 2, text: 2, decoder: 1},
    {...fixed, image: 1, text: 2, decoder: 2},
  ];
  const rows = Array.from({length: pictures}, (_, index): RunsRow => {
    const reference = Array.from({length: 6}, () => WORDS[random.below(WORDS.length)]!);
    const changes = random.next() < changed;
    const texts = [
      reference,
      changes ? ['none', ...reference.slice(1)] : reference,
      index % 2 ? reference : ['nothing'],
    ];
    return {
      index,
      id: String(index),
      imageId: `picture ${index}`,
      references: [reference.join(' ')],
      searches: texts.map((words, s) => ({
        text: words.join(' '),
        score: -1,
        encoder: [settings[s]!.image, 2],
        decoder: [settings[s]!.decoder],
        macs: {run: 100 - 20 * s, full: 100},
      })),
      of: [0, 1, 2],
      tests: [0, 0, 0],
    };
  });
  return {
    header: {
      format: SETTING_RUNS,
      version: 1,
      task: 'caption',
      model: 'm',
      data: 'd',
      stacks: [
        {stack: 'encoder.image', depth: 2},
        {stack: 'encoder.text', depth: 2},
        {stack: 'decoder', depth: 2},
      ],
      generation: {},
      settings,
    },
    rows,
  };
}
