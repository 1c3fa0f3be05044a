// Values of docs/reference/early-exit.md D4. The toy set is the example of the clipscore repository; the other was
// computed with pycocoevalcap.

export const TOY_REFERENCES: readonly (readonly string[])[] = [
  [
    'two cats are sleeping next to each other.',
    'a grey cat is cuddling with an orange cat on a blanket.',
    'the orange cat is happy that the black cat is close to it.',
  ],
  [
    'a dog is wearing ear muffs as it lies on a carpet.',
    'a black dog and an orange cat are looking at the photographer.',
    'headphones are placed on a dogs ears.',
  ],
];

export const TOY_SETS = [
  {
    name: 'good',
    hypotheses: [
      'an orange cat and a grey cat are lying together.',
      'a black dog wearing headphones looks at the camera as an orange cat walks in the background.',
    ],
    bleu: [0.6667, 0.4899, 0.3469, 0],
    rougeL: [0.357771, 0.49825],
    ciderD: [0.507073, 0.620409],
  },
  {
    name: 'bad',
    hypotheses: [
      'a calico cat and a white cat are lying together.',
      'a black dog wearing a hat looks at the camera as a tabby walks in the background.',
    ],
    bleu: [0.4815, 0.2404, 0.1359, 0],
    rougeL: [0.268328, 0.355893],
    ciderD: [0, 0.558033],
  },
] as const;

export const OWN = {
  references: [
    ['a brown dog runs across the green grass', 'a dog running on grass', 'the dog is playing in a field'],
    [
      'a man riding a wave on a surfboard',
      'a surfer rides a large wave in the ocean',
      'a person surfing on a big wave',
    ],
    ['two red apples on a wooden table', 'a pair of apples sitting on a table', 'red apples are on the table'],
  ],
  hypotheses: [
    'a dog runs on the grass',
    'a man is riding a wave on a surfboard in the ocean',
    'two apples on a table',
  ],
  bleu: [0.9565217391, 0.7885043629, 0.6349688787, 0.4839635289],
  ciderD: [1.6556260116, 2.2773744886, 2.2553869861],
  rougeL: [0.8133333333, 0.8299319728, 0.8090185676],
} as const;

/** Captions of a few words out of a small vocabulary, so that n-grams repeat. */
export const WORDS = ['a', 'the', 'dog', 'cat', 'on', 'red', 'grass', 'runs', 'two', 'sky'] as const;
