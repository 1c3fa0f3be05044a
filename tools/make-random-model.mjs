// Writes a model of a released size with random weights, to measure with. Needs `npm run build`.
/** @import {OfaSize} from '../dist/models/ofa/config.js' */
/** @import {RandomModelOptions} from '../dist/node/model/random-model.js' */
import {parseArgs} from 'node:util';

const {values} = parseArgs({
  options: {
    size: {type: 'string', default: 'tiny'},
    out: {type: 'string'},
    kind: {type: 'string', default: 'model'},
    dtype: {type: 'string', default: 'float16'},
    seed: {type: 'string', default: '1'},
    mue: {type: 'boolean', default: false},
    force: {type: 'boolean', default: false},
  },
});
const {OFA_SIZES, ofaConfigOfSize} = await import('../dist/models/ofa/config.js');
const {COCA_ARCHITECTURES} = await import('../dist/models/coca/config.js');
const {importConfig} = await import('../dist/models/coca/import/config.js');
const {writeRandomModel} = await import('../dist/node/model/random-model.js');
const coca = Object.keys(COCA_ARCHITECTURES);
if (
  !values.out ||
  ![...OFA_SIZES, ...coca].includes(values.size) ||
  (coca.includes(values.size) && values.kind !== 'model') ||
  !['model', 'checkpoint'].includes(values.kind) ||
  !['float16', 'float32'].includes(values.dtype)
) {
  console.error(
    `usage: node tools/make-random-model.mjs --size ${[...OFA_SIZES, ...coca].join('|')} --out DIR [--kind model|checkpoint] [--dtype float16|float32] [--seed N] [--mue] [--force]`,
  );
  process.exit(2);
}
const start = performance.now();
const files = await writeRandomModel({
  config: coca.includes(values.size)
    ? importConfig(COCA_ARCHITECTURES[values.size])
    : ofaConfigOfSize(/** @type {OfaSize} */ (values.size), {train_mue: values.mue}),
  output: values.out,
  kind: /** @type {RandomModelOptions['kind']} */ (values.kind),
  dtype: /** @type {RandomModelOptions['dtype']} */ (values.dtype),
  seed: Number(values.seed),
  force: values.force,
});
const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
console.error(
  `${values.out}: ${files.length} files, ${(bytes / 1e6).toFixed(1)} MB, ${((performance.now() - start) / 1e3).toFixed(1)} s`,
);
