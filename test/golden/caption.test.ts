import {readTsv} from '../../src/data/tsv.js';
import {type ExitPlan, NEVER_PLAN} from '../../src/exit/plan/schema.js';
import {thresholdPlan} from '../../src/exit/plan/presets.js';
import {onBackends} from '../support/backends.js';
import {chunks, collect} from '../support/data/chunks.js';
import {golden, goldenBytes} from '../support/golden/golden.js';
import {useMicroModels} from '../support/models/use-micro-models.js';

interface Case {
  readonly model: 'plain' | 'mue';
  readonly kwargs: {readonly img_thres?: number; readonly txt_thres?: number; readonly decoder_thres?: number};
  readonly result: readonly {readonly image_id: string; readonly caption: string}[];
}

const {caption_end_to_end: cases} = golden<{caption_end_to_end: readonly Case[]}>('generation.json');

function planOf({kwargs: {img_thres, txt_thres, decoder_thres}}: Case): ExitPlan {
  return decoder_thres === undefined
    ? NEVER_PLAN
    : thresholdPlan({mode: 'reference', image: img_thres, text: txt_thres, decoder: decoder_thres});
}

onBackends('caption', () => {
  const {mues} = useMicroModels();

  test.each(cases.map((c) => [`${c.model}, ${c.result[0]!.image_id}`, c] as const))(
    'from the TSV row, %s',
    async (_name, c) => {
      const items = await collect(
        readTsv(chunks(goldenBytes('caption.tsv'), 65536), {task: 'caption', columns: {imageId: 1, image: 4}}),
      );
      for (const {image_id, caption} of c.result) {
        const {image} = items.find(({imageId}) => imageId === image_id)!;
        const answer = await mues[c.model].caption('bytes' in image ? image.bytes : new Uint8Array(), {
          exit: planOf(c),
          num_beams: 5,
          max_new_tokens: 16,
          no_repeat_ngram_size: 3,
        });
        expect(answer.text).toBe(caption);
        expect(answer.hypotheses.length).toBe(5);
      }
    },
  );
});
