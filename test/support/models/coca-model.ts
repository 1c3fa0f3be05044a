import type {PlainValue} from '../../../src/checkpoint/checkpoint.js';
import {MemoryAccess} from '../data/memory-access.js';
import {SafetensorsFile} from '../../../src/checkpoint/safetensors.js';
import type {CocaConfig} from '../../../src/models/coca/config.js';
import {importCoca} from '../../../src/models/coca/import/import.js';
import {CocaModel} from '../../../src/models/coca/model.js';
import {importedSource} from './imported-source.js';
import {cocaGoldenBytes, cocaJson} from '../golden/golden-coca.js';

type Settings = {readonly model_cfg: {readonly vision_cfg: object}; readonly preprocess_cfg: object};

/**
 * A golden model of open_clip's, converted in memory.
 * @param imageSize the side of the pictures, if not the one that it was made for
 */
export async function cocaModel(
  folder: 'micro' | 'fullvocab',
  {imageSize, ...change}: {imageSize?: number} & Partial<Pick<CocaConfig, 'cls_mask' | 'activation'>> = {},
): Promise<CocaModel> {
  const file = `${folder}/open_clip_model.safetensors`;
  using checkpoint = await SafetensorsFile.open(new MemoryAccess(file, cocaGoldenBytes(file)));
  const settings = cocaJson<Settings>(`${folder}/open_clip_config.json`);
  const cfg = imageSize
    ? {...settings, preprocess_cfg: {...settings.preprocess_cfg, size: [imageSize, imageSize]}}
    : settings;
  const imported = importCoca(checkpoint, cfg as unknown as PlainValue);
  const source = importedSource(checkpoint, imported.weights);
  return await CocaModel.load({...imported.config, ...change}, source);
}
