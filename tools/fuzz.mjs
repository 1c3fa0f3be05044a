// npm run fuzz -- [CASES] [FIRST]: reads CASES files, changed at random: pictures, checkpoints, plans and data sets, a quarter of
// each. Case n is always the same.
import {spawnSync} from 'node:child_process';

const [cases = '10000', first = '0'] = process.argv.slice(2);
if (![cases, first].every((number) => /^\d+$/.test(number))) {
  console.error('usage: npm run fuzz -- [CASES] [FIRST CASE]');
  process.exit(2);
}
const jest = [
  '--experimental-vm-modules',
  '--no-warnings',
  'node_modules/jest/bin/jest.js',
  '--runInBand',
  'test/fuzz',
];
const env = {...process.env, FUZZ_CASES: cases, FUZZ_FIRST: first};
process.exit(spawnSync(process.execPath, jest, {stdio: 'inherit', env}).status ?? 1);
