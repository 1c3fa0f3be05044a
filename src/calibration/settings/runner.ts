import {type ExitPlan, NEVER_PLAN, type StackPlan} from '../../exit/plan/schema.js';
import {createPolicy} from '../../exit/plan/policies.js';
import type {StackName} from '../../exit/policy.js';
import {perToken, writingStack} from '../../exit/stacks.js';
import {addMacs, type Macs, type StackTrace} from '../../exit/trace.js';
import type {ImageStates, MultiDepthEncoding, VisionLanguageModel} from '../../models/model.js';
import {UsageError} from '../../runtime/errors.js';
import {TensorScope} from '../../runtime/tensor-scope.js';
import {type AnswerHypothesis, bestHypothesis} from '../../tasks/answer.js';
import type {AnswerWriter} from '../../tasks/processor.js';
import type {VisionLanguagePipeline} from '../../tasks/pipeline.js';
import type {GenerateOptions} from '../../tasks/generation-options.js';
import {unusable} from '../../evaluation/evaluate.js';
import {firstExit} from '../replay/exit-layers.js';
import {type PolicySetting, type SettingTarget, settingPlan} from '../policy-setting.js';
import {stacksBetween} from '../recording/record-entailment.js';

/** One search: an encoding at given depths, decoded with one policy. */
export interface SearchRun extends AnswerHypothesis {
  /** Layers of the two stacks before the one that writes; of one that runs for every token, of every step. */
  readonly encoder: readonly (number | readonly number[])[];
  /** Of the one that writes, of every step. */
  readonly decoder: readonly number[];
  /** Without the tests of the encoder stacks: settings that come to the same depths need not share those. */
  readonly macs: Macs;
}

/** What many settings did to one picture. */
export interface SettingRuns {
  readonly searches: readonly SearchRun[];
  /** By setting: its search, and the multiply-accumulates of its encoder tests. */
  readonly of: readonly {readonly search: number; readonly testMacs: number}[];
}

interface Prepared {
  readonly setting: PolicySetting;
  /** Of the stacks that run for every token. */
  readonly plans: ExitPlan['stacks'];
  readonly key: string;
}

/** What settings are run on. */
type Captioner = Pick<VisionLanguagePipeline, 'model' | 'sha256' | 'captionWriter'>;

/**
 * Runs many settings on a picture for real: every answer, layer and multiply-accumulate is what `mue caption` with the setting's plan would
 * give. Cheap, since the encoder's states at all depths are there, and settings that come to the same depths and the same decoder
 * policy share one search.
 */
export class SettingRunner {
  readonly target: SettingTarget;
  /** What is run: full depth first, then the others, each once. */
  readonly settings: readonly PolicySetting[];
  readonly #writer: AnswerWriter;
  readonly #settings: readonly Prepared[];

  /** @throws UsageError for a setting that this model cannot run */
  constructor(
    private readonly mue: Captioner,
    settings: readonly PolicySetting[],
    generation: GenerateOptions = {},
  ) {
    const {stacks} = mue.model;
    this.target = captionTarget(mue);
    this.#writer = mue.captionWriter(generation);
    const [image, text, decoder] = this.target.stacks.map(({depth}) => depth) as [number, number, number];
    this.settings = distinct([{encoder: 'fixed', policy: 'fixed', image, text, decoder}, ...settings]);
    this.#settings = this.settings.map((setting) => {
      if (setting.policy === 'linear-head')
        throw new UsageError('head-untrained', "a 'linear-head' has learnt nothing here: it can be replayed, not run", {
          hint: 'Leave these settings out, or run a calibrated plan with `mue evaluate --exit`.',
        });
      const plan = settingPlan(setting, this.target);
      createPolicy(plan, stacks);
      const written = (Object.entries(plan.stacks) as [StackName, StackPlan][]).filter(([stack]) => perToken(stack));
      const plans = Object.fromEntries(written.map(([stack, own]) => [stack, withoutIdleTests(own, stacks[stack]!)]));
      return {setting, plans, key: JSON.stringify(plans)};
    });
  }

  /** How words are chosen. */
  get generation(): AnswerWriter['settings'] {
    return this.#writer.settings;
  }

  /** @throws InputError `score-not-finite` if an answer cannot be compared; AbortError */
  async run(picture: ImageStates, signal?: AbortSignal): Promise<SettingRuns> {
    using scope = new TensorScope();
    const prompt = scope.hold(await picture.withPrompt(this.#writer.source, {signal}));
    const wanted: Wanted[] = [];
    const known = new Map<string, number>();
    const of = this.#settings.map(({setting, plans, key}) => {
      const exits = prompt.stacks.map((stack, k) =>
        encoderExit(setting, k === 0 ? setting.image : setting.text, stack),
      );
      const depths = exits.map(({layers}) => layers);
      const name = [...depths, key].join(' ');
      const search = known.get(name) ?? wanted.push({depths, plans}) - 1;
      known.set(name, search);
      return {search, testMacs: exits.reduce((sum, {testMacs}) => sum + testMacs, 0)};
    });
    const searches: SearchRun[] = [];
    for (let first = 0; first < wanted.length; first += BATCH)
      searches.push(...(await this.#run(prompt, wanted.slice(first, first + BATCH), signal)));
    return {searches, of};
  }

  /** Several searches as one batch, each a picture of its own with its own policy: what each gives is what it gives alone. */
  async #run(
    prompt: MultiDepthEncoding,
    wanted: readonly Wanted[],
    signal: AbortSignal | undefined,
  ): Promise<SearchRun[]> {
    using scope = new TensorScope();
    const model: VisionLanguageModel = this.mue.model;
    const {rows, maxSteps} = this.#writer;
    // Policies may remember what they saw: one a search.
    const policies = wanted.map(({plans}) => createPolicy({...NEVER_PLAN, stacks: plans}, model.stacks));
    const encoded = scope.hold(prompt.combine(wanted.map(({depths}) => depths)));
    const decoding = scope.hold(model.startDecoding(encoded, rows, maxSteps, NEVER_PLAN.skippedKv));
    const written = await this.#writer.write(decoding, wanted.length, policies, {signal});
    const costs = decoding.macs;
    const writing = writingStack(model.stacks);
    const between = stacksBetween(model, prompt);
    return wanted.map(({depths}, b) => {
      const macs = addMacs(encoded.runs[b]!.macs, costs[b]!);
      const {hypotheses, traces} = written[b]!;
      const best = bestHypothesis(hypotheses);
      const error = unusable({...best, macs});
      if (error) throw error;
      return {
        ...best,
        encoder: [...depths, ...between.map((stack) => stepLayers(traces, stack))],
        decoder: stepLayers(traces, writing),
        macs,
      };
    });
  }
}

/** Searches that run together: more take memory, and no longer much less time. */
const BATCH = 32;

interface Wanted {
  /** Of the stacks that run once. */
  readonly depths: readonly number[];
  readonly plans: ExitPlan['stacks'];
}

function stepLayers(traces: readonly StackTrace[], of: StackName): number[] {
  return traces.flatMap(({stack, exitLayer}) => (stack === of ? [exitLayer] : []));
}

/** The stacks that settings speak of. @throws UsageError `settings-joint` for a model that lacks them */
export function captionTarget({model, sha256}: Pick<VisionLanguagePipeline, 'model' | 'sha256'>): SettingTarget {
  const stacks = Object.entries(model.stacks).map(([stack, depth]) => ({stack, depth}));
  if (stacks.length !== 3)
    throw new UsageError(
      'settings-joint',
      `this model's stacks are ${stacks.map(({stack}) => stack).join(', ')}; settings speak of three`,
      {
        hint: 'Sweep a model trained for MuE; `mue evaluate` runs every model.',
      },
    );
  return {model: sha256 ?? '', task: 'caption', stacks};
}

function distinct(settings: readonly PolicySetting[]): PolicySetting[] {
  // Keys in one order, whatever the file had.
  const key = ({encoder, policy, image, text, decoder, patience, score, thresholds}: PolicySetting): string =>
    JSON.stringify([encoder, policy, image, text, decoder, patience, score, thresholds]);
  return [...new Map(settings.map((setting) => [key(setting), setting])).values()];
}

interface EncoderExit {
  readonly layers: number;
  readonly testMacs: number;
}

/** Where a stack leaves, as the policies `similarity` (corrected) and `fixed` do it: strictly above, and the last layer is not asked. */
function encoderExit(
  {encoder}: PolicySetting,
  value: number | null,
  {similarity, testMacs}: MultiDepthEncoding['stacks'][number],
): EncoderExit {
  const depth = similarity.length;
  if (value === null) return {layers: depth, testMacs: 0};
  if (encoder === 'fixed') return {layers: Math.min(value, depth), testMacs: 0};
  if (value >= 1) return {layers: depth, testMacs: 0};
  const layers = firstExit(similarity, 0, depth - 1, value, true) + 1;
  return {layers, testMacs: Math.min(layers, depth - 1) * testMacs};
}

/** Policies that never exit and measure nothing are one. */
function withoutIdleTests(plan: StackPlan, depth: number): StackPlan {
  const idle = plan.policy === 'fixed' ? plan.layers! >= depth : plan.policy === 'similarity' && plan.threshold! >= 1;
  return idle ? {policy: 'never'} : plan;
}
