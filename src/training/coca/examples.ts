import type {CocaConfig} from '../../models/coca/config.js';
import {InputError} from '../../runtime/errors.js';
import type {VisionLanguagePipeline} from '../../tasks/pipeline.js';
import type {CocaExample} from './objective.js';
import type {TrainingRow} from '../rows.js';

/**
 * A row of pictures and captions as CoCa learns it. A caption that is longer than the model's context is cut off before
 * its end symbol, as open_clip's tokenizer does.
 * @param pipeline   borrowed
 * @throws InputError `label-missing` for a row without captions
 */
export function cocaExample(
  pipeline: Pick<VisionLanguagePipeline, 'captionTokens'>,
  {start_id, text}: Pick<CocaConfig, 'start_id' | 'text'>,
  {index, references = []}: Pick<TrainingRow, 'index' | 'references'>,
): CocaExample {
  if (references.length === 0) throw new InputError('label-missing', 'there is no caption to learn from');
  const room = text.context_length - 1;
  const captions = references.map((reference) => {
    const words = pipeline.captionTokens(reference);
    return [start_id, ...(words.length > room ? [...words.slice(0, room - 1), words.at(-1)!] : words)];
  });
  return {key: String(index), captions};
}
