// The suites that hold the code to the authors' numbers, and nothing else, on wasm and cpu.
// GOLDEN_DIR names another folder of goldens.
import config from './jest.config.mjs';

const SUITES = [
  'golden/*',
  'checkpoint/{safetensors,torch-zip}',
  'data/{image,text-cleaning,tokenizer,tsv}',
  'metrics/{bleu,caption-scores,cider-d,ptb-tokenize,rouge-l}',
  'models/ofa/import/import',
  'node/picture/decode',
];

process.env.MUE_TEST_BACKEND ??= 'wasm,cpu';

export default {...config, testMatch: SUITES.map((suite) => `<rootDir>/test/${suite}.test.ts`)};
