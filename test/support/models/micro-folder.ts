import fs from 'node:fs';
import path from 'node:path';
import {convertCheckpoint} from '../../../src/node/model/convert.js';
import {goldenBytes} from '../golden/golden.js';

/**
 * Converts the goldens' micro checkpoint (random weights, MuE) to `folder/model`.
 * @returns the model folder
 */
export async function microFolder(folder: string): Promise<string> {
  const input = path.join(folder, 'ofa_micro.pt');
  const output = path.join(folder, 'model');
  fs.writeFileSync(input, goldenBytes('ofa_micro.pt'));
  fs.writeFileSync(path.join(folder, 'dict.txt'), goldenBytes('dict_micro.txt'));
  await convertCheckpoint({input, output});
  return output;
}
