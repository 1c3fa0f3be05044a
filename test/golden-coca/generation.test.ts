import {never} from '../../src/exit/policy.js';
import {openClipBeamSearch} from '../../src/generation/open-clip-beam-search.js';
import {sample} from '../../src/generation/sampling.js';
import type {DecodingOptions, DecodingRules} from '../../src/generation/step.js';
import type {CocaEncoded} from '../../src/models/coca/encode.js';
import type {CocaModel} from '../../src/models/coca/model.js';
import {seededRandom} from '../../src/runtime/random.js';
import {onBackends} from '../support/backends.js';
import {pixelsOf} from '../support/models/coca-inputs.js';
import {cocaModel} from '../support/models/coca-model.js';
import {cocaArrays, cocaJson, describeCoca} from '../support/golden/golden-coca.js';

interface Options {
  readonly generation_type?: 'top_k' | 'beam_search';
  readonly num_beams?: number;
  readonly num_beam_groups?: number;
  readonly min_seq_len?: number;
  readonly repetition_penalty?: number;
  readonly text?: readonly number[];
}
interface Case {
  readonly options: Options;
  readonly batch?: readonly (readonly number[])[];
  readonly single?: readonly (readonly number[])[];
}
type CurrentFile = Readonly<Record<'micro' | 'fullvocab', Readonly<Record<string, Case | number | null>>>>;

/** Cases that are also written one picture alone. */
const ALONE: readonly string[] = ['greedy', 'beam_6'];
const MODELS = ['micro', 'fullvocab'] as const;

describeCoca(
  "captions equal open_clip's, token for token",
  [
    'generation_current.json',
    ...MODELS.flatMap((name) => [
      `${name}/goldens.json`,
      `${name}/goldens.safetensors`,
      `${name}/open_clip_model.safetensors`,
    ]),
  ],
  () => {
    onBackends('captions', () => {
      describe.each(MODELS)('%s', (name) => {
        const {generation} = cocaJson<{generation: {seq_len: number; cases: Record<string, Case>}}>(
          `${name}/goldens.json`,
        );
        const current = cocaJson<CurrentFile>('generation_current.json')[name];
        const length = generation.seq_len;
        let model: CocaModel;
        let encoded: CocaEncoded;
        let first: CocaEncoded;
        beforeAll(async () => {
          model = await cocaModel(name);
          using pixels = disposable(pixelsOf(cocaArrays(`${name}/goldens.safetensors`)['pixels']!));
          encoded = await model.encode({pixels: pixels.tensor}, never);
          using one = disposable(pixelsOf(cocaArrays(`${name}/goldens.safetensors`)['pixels']!, 1));
          first = await model.encode({pixels: one.tensor}, never);
        });
        afterAll(() => {
          for (const held of [first, encoded, model]) held[Symbol.dispose]();
        });

        const write = async (
          of: CocaEncoded,
          rules: DecodingRules,
          options: Options,
        ): Promise<(readonly number[])[]> => {
          const {start_id, end_id} = model.config;
          const {
            generation_type = 'beam_search',
            num_beams = 6,
            num_beam_groups = 3,
            min_seq_len = 5,
            repetition_penalty = 1,
          } = options;
          const writing: DecodingOptions = {
            rules,
            prompt: options.text ?? [start_id],
            end: end_id,
            maxLength: length,
            minLength: min_seq_len,
            repetitionPenalty: repetition_penalty,
          };
          const beams = num_beams / num_beam_groups;
          using decoding = model.startDecoding(of, generation_type === 'top_k' ? 1 : beams, length, 'project');
          if (generation_type === 'top_k') {
            const greedy = {...writing, topK: 1, temperature: 1, random: () => seededRandom(0)};
            return (await sample(decoding, of.images, never, greedy)).texts.map(({tokens}) => tokens);
          }
          return (await openClipBeamSearch(decoding, of.images, never, {...writing, beams})).texts.map(
            ([best]) => best!.tokens,
          );
        };
        const ids = (row: readonly number[]): readonly number[] => {
          const end = row.indexOf(model.config.end_id);
          return end < 0 ? row : row.slice(0, end + 1);
        };
        const check = async (rules: DecodingRules, {options, batch, single}: Case, alone: boolean): Promise<void> => {
          const golden = (single ?? batch)!.map(ids);
          expect(await write(encoded, rules, options)).toEqual(golden);
          if (batch) expect(batch.map(ids)).toEqual(golden);
          if (alone) expect(await write(first, rules, options)).toEqual(golden.slice(0, 1));
        };
        test.each(Object.entries(generation.cases))('classic %s', async (title, golden) => {
          await check('classic', golden, ALONE.includes(title));
        });
        const cases = Object.entries(current).filter(
          (entry): entry is [string, Case] =>
            typeof entry[1] === 'object' && entry[1] !== null && 'options' in entry[1],
        );
        test.each(cases)('current %s', async (title, golden) => {
          await check('current', golden, ALONE.includes(title));
        });
      });
    });
  },
);

function disposable<T extends {dispose(): void}>(tensor: T): Disposable & {readonly tensor: T} {
  return {tensor, [Symbol.dispose]: () => tensor.dispose()};
}
