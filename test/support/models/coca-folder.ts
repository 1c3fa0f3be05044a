import fs from 'node:fs';
import path from 'node:path';
import {convertCheckpoint} from '../../../src/node/model/convert.js';
import {cocaGoldenBytes} from '../golden/golden-coca.js';

/**
 * Converts open_clip's small model of the whole vocabulary (random weights) to `folder/coca`.
 * @returns the model folder
 */
export async function cocaFolder(folder: string): Promise<string> {
  for (const name of ['open_clip_config.json', 'open_clip_model.safetensors'])
    fs.writeFileSync(path.join(folder, name), cocaGoldenBytes(`fullvocab/${name}`));
  const output = path.join(folder, 'coca');
  await convertCheckpoint({input: path.join(folder, 'open_clip_model.safetensors'), output});
  return output;
}
