// @ts-check
// A policy of your own, through the lower level. Run after `npm run build`:   node examples/own-policy.mjs [picture]
import fs from 'node:fs';
import * as tf from '@tensorflow/tfjs';
import {fairseqBeamSearch, never, stackPolicies, TensorScope} from 'mue-tfjs';
import {loadModel} from 'mue-tfjs/node';

/**
 * Leaves the decoder when the same word is on top of every beam after `patience` more layers. A policy sees the state before
 * and after each layer, and may ask for the scores of the next word; the tensors that it is given are borrowed.
 * @param {number} patience
 * @returns {import('mue-tfjs').ExitPolicy}
 */
function agreement(patience) {
  let last = '';
  let equal = 0;
  return {
    name: 'agreement',
    async observe(_before, _after, at, logits) {
      if (at.layer === at.depth) return {exit: false};
      const best = tf.tidy(() => logits().argMax(-1));
      const words = String(await best.data());
      best.dispose();
      equal = at.layer > 1 && words === last ? equal + 1 : 0;
      last = words;
      return {exit: equal >= patience, score: equal, threshold: patience};
    },
  };
}

const file = process.argv[2] ?? new URL('pictures/12.png', import.meta.url).pathname;
const mue = await loadModel(undefined, {device: 'wasm'});
const {model, tokenizer} = mue;
const before = tf.memory().numTensors;

for (const [name, policy] of /** @type {const} */ ([
  ['never', never],
  ['agreement 1', stackPolicies({decoder: agreement(1)})],
  ['agreement 2', stackPolicies({decoder: agreement(2)})],
])) {
  // Everything held here is disposed at the end, also when something throws (with `using` in TypeScript: no finally).
  const scope = new TensorScope();
  try {
    const pixels = scope.hold(await mue.pixels(fs.readFileSync(file)));
    const prompt = [tokenizer.bos, ...tokenizer.encode(' what does the image describe?'), tokenizer.eos];
    const encoded = scope.hold(await model.encode({pixels, prompts: [prompt]}, policy));
    const beams = 5;
    const maxLength = 24;
    const decoding = scope.hold(model.startDecoding(encoded, beams, maxLength, 'just-in-time'));
    const {hypotheses, traces} = await fairseqBeamSearch(decoding, 1, policy, {
      beams,
      maxLength,
      minLength: 1,
      noRepeatNgram: 3,
      lengthPenalty: 1,
      normalize: true,
    });
    const [best] = hypotheses[0];
    const depths = traces[0].map(({exitLayer}) => exitLayer).join(' ');
    console.log(
      `${name.padEnd(12)} ${tokenizer.decode(best.tokens).trim()}  (score ${best.score.toFixed(3)}; layers ${depths})`,
    );
    const {run, full} = decoding.macs[0];
    console.log(`${''.padEnd(12)} decoder MACs ${(run / 1e6).toFixed(0)} of ${(full / 1e6).toFixed(0)} M`);
  } finally {
    scope[Symbol.dispose]();
  }
}
console.log(`tensors left behind: ${tf.memory().numTensors - before}`);
mue[Symbol.dispose]();
