import fs from 'node:fs';
import {decodeImage} from '../../src/node/picture/decode.js';
import type {OfaPipeline} from '../../src/tasks/ofa-processor.js';
import type {ClockName} from '../measure/clock.js';
import {profileKernels} from '../cases/kernel-times.js';
import {testQuestions} from './parts.js';
import type {Row} from '../report/result-file.js';

/** Profiles the kernels of captions and entailments of the shipped model, at full depth; means over pictures. */
export async function profileAnswers(
  mue: OfaPipeline,
  {pictures, clock}: {pictures: number; clock: ClockName},
): Promise<Row[]> {
  const captions = testQuestions('caption-test.jsonl', pictures);
  const entailments = testQuestions('snli-ve-test.jsonl', pictures);
  const image = (file: string): ReturnType<typeof decodeImage> => decodeImage(fs.readFileSync(file));
  return await profileKernels(
    [
      {group: 'caption', run: async (i) => void (await mue.caption(await image(captions[i]!.image), {exit: 'never'}))},
      {
        group: 'entailment',
        run: async (i) =>
          void (await mue.entail(await image(entailments[i]!.image), entailments[i]!.text, {exit: 'never'})),
      },
    ],
    pictures,
    clock,
  );
}
