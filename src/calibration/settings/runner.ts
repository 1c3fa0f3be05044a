import {type ExitPlan, NEVER_PLAN, type StackPlan} from '../../exit/plan/schema.js';
import {createPolicy} from '../../exit/plan/policies.js';
import type {StackName} from '../../exit/policy.js';
import {runsPerToken, writingStack} from '../../exit/stacks.js';
import {addMacs, type Macs, type StackTrace} from '../../exit/trace.js';
import type {ImageStates, MultiDepthEncoding} from '../../models/model.js';
import {UsageError} from '../../runtime/errors.js';
import {TensorScope} from '../../runtime/tensor-scope.js';
import {type AnswerHypothesis, bestHypothesis} from '../../tasks/answer.js';
import type {AnswerWriter} from '../../tasks/processor.js';
import type {VisionLanguagePipeline} from '../../tasks/pipeline.js';
import type {GenerateOptions} from '../../tasks/generation-options.js';
import {unusable} from '../../evaluation/evaluate.js';
import {
  fullDepthSetting,
  type PolicySetting,
  type SettingTarget,
  type StackSetting,
  settingPlan,
  stackSettings,
} from '../policy-setting.js';
import {stacksBetween} from '../recording/record-entailment.js';
import {firstExit} from '../replay/exit-layers.js';
import {type ByStack, recordedStacks, stackDepths} from '../stacks.js';
import {append} from '../../runtime/extremes.js';

/** Result of a search: an encoding at given depths, decoded with one policy. */
export interface SearchRun extends AnswerHypothesis {
  /** Layers that ran: a number, or, of a stack that runs for every token, one for each step. */
  readonly layers: ByStack<number | readonly number[]>;
  /** Without the exit tests of the encoder stacks: settings that come to the same depths need not share those. */
  readonly macs: Macs;
}

/** Results of many settings on one picture. */
export interface SettingRuns {
  readonly searches: readonly SearchRun[];
  /** By setting: its search, and the multiply-accumulates of its encoder tests. */
  readonly of: readonly {readonly search: number; readonly testMacs: number}[];
}

/** A setting, made ready to run. */
interface Prepared {
  readonly byStack: ByStack<StackSetting>;
  /** Plans of the stacks that run for every token, and the same as a text to compare by. */
  readonly plans: ExitPlan['stacks'];
  readonly key: string;
}

/** A model that settings can be run on. */
type Captioner = Pick<VisionLanguagePipeline, 'model' | 'sha256' | 'captionWriter' | 'exitAdapters'>;

/**
 * Runs many settings on a picture for real: every answer, layer and multiply-accumulate is what `mue caption` with the
 * setting's plan would give. Cheap, since the encoder's states at all depths are there, and settings that come to the
 * same depths and the same decoder policy share one search.
 */
export class SettingRunner {
  readonly target: SettingTarget;
  /** Settings that are run: full depth first, then the others, each once. */
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
    this.settings = distinct([fullDepthSetting(this.target.stacks), ...settings]);
    this.#settings = this.settings.map((setting) => {
      if (setting.policy === 'linear-head')
        throw new UsageError('head-untrained', "a 'linear-head' has learnt nothing here: it can be replayed, not run", {
          hint: 'Leave these settings out, or run a calibrated plan with `mue evaluate --exit`.',
        });
      const plan = settingPlan(setting, this.target);
      createPolicy(plan, stacks);
      const written = this.target.stacks.filter(({stack}) => runsPerToken(stack));
      const plans = Object.fromEntries(
        written.map(({stack, depth}) => [stack, withoutIdleTests(plan.stacks[stack]!, depth)]),
      );
      return {byStack: stackSettings(setting, this.target.stacks), plans, key: JSON.stringify(plans)};
    });
  }

  /** Settings of the search for words, in plain values. */
  get generation(): AnswerWriter['settings'] {
    return this.#writer.settings;
  }

  /**
   * @param only   settings to run, by number; all by default. `of` is of these
   * @throws InputError `score-not-finite` if an answer cannot be compared; AbortError
   */
  async run(picture: ImageStates, signal?: AbortSignal, only?: readonly number[]): Promise<SettingRuns> {
    using scope = new TensorScope();
    const prompt = scope.hold(await picture.withPrompt(this.#writer.source, {signal}));
    const wanted: Wanted[] = [];
    const known = new Map<string, number>();
    const settings = only?.map((s) => this.#settings[s]!) ?? this.#settings;
    const of = settings.map(({byStack, plans, key}) => {
      const exits = prompt.stacks.map((known) => encoderExit(byStack[known.stack]!, known));
      const depths = exits.map(({layers}) => layers);
      const name = [...depths, key].join(' ');
      const search = known.get(name) ?? wanted.push({depths, plans}) - 1;
      known.set(name, search);
      return {search, testMacs: exits.reduce((sum, {testMacs}) => sum + testMacs, 0)};
    });
    const searches: SearchRun[] = [];
    for (let first = 0; first < wanted.length; first += BATCH)
      append(searches, await this.#run(prompt, wanted.slice(first, first + BATCH), signal));
    return {searches, of};
  }

  /** Several searches as one batch, each an image of its own with its own policy: each gives what it gives alone. */
  async #run(
    prompt: MultiDepthEncoding,
    wanted: readonly Wanted[],
    signal: AbortSignal | undefined,
  ): Promise<SearchRun[]> {
    using scope = new TensorScope();
    const {model, exitAdapters} = this.mue;
    const {rows, maxSteps} = this.#writer;
    // Policies may remember what they saw: one a search.
    const policies = wanted.map(({plans}) => createPolicy({...NEVER_PLAN, stacks: plans}, model.stacks));
    const encoded = scope.hold(prompt.combine(wanted.map(({depths}) => depths)));
    const decoding = scope.hold(
      model.startDecoding(encoded, rows, maxSteps, NEVER_PLAN.skippedKv, exitAdapters.caption),
    );
    const written = await this.#writer.write(decoding, wanted.length, policies, {signal});
    const costs = decoding.macs;
    const stepwise = [...stacksBetween(model, prompt), writingStack(model.stacks)];
    return wanted.map(({depths}, b) => {
      const macs = addMacs([encoded.runs[b]!.macs, costs[b]!]);
      const {hypotheses, traces} = written[b]!;
      const best = bestHypothesis(hypotheses);
      const error = unusable({...best, macs});
      if (error) throw error;
      return {
        ...best,
        layers: Object.fromEntries([
          ...prompt.stacks.map(({stack}, k) => [stack, depths[k]!]),
          ...stepwise.map((stack) => [stack, stepLayers(traces, stack)]),
        ]),
        macs,
      };
    });
  }
}

/** Searches that run together: more take memory, and no longer much less time. */
const BATCH = 32;

/** A search that settings ask for. */
interface Wanted {
  /** Layers of the stacks that run once, in the encoding's order. */
  readonly depths: readonly number[];
  /** Plans of the others. */
  readonly plans: ExitPlan['stacks'];
}

/** Layers of one stack at each step. */
function stepLayers(traces: readonly StackTrace[], of: StackName): number[] {
  return traces.flatMap(({stack, exitLayer}) => (stack === of ? [exitLayer] : []));
}

/** A model as the target of caption settings. @throws UsageError `settings-joint` unless it has two or three stacks */
export function captionTarget({model, sha256}: Pick<VisionLanguagePipeline, 'model' | 'sha256'>): SettingTarget {
  const stacks = recordedStacks(stackDepths(model.stacks));
  if (stacks === undefined)
    throw new UsageError(
      'settings-joint',
      `this model's stacks are ${Object.keys(model.stacks).join(', ')}; settings speak of two or three`,
      {hint: '`mue evaluate` runs every model.'},
    );
  return {model: sha256 ?? '', task: 'caption', stacks};
}

function distinct(settings: readonly PolicySetting[]): PolicySetting[] {
  // Keys in one order, whatever order the file had.
  const key = ({encoder, policy, image, text, decoder, patience, score, thresholds}: PolicySetting): string =>
    JSON.stringify([encoder, policy, image, text, decoder, patience, score, thresholds]);
  return [...new Map(settings.map((setting) => [key(setting), setting])).values()];
}

/** Layers that a stack runs, and the multiply-accumulates of its exit tests. */
interface EncoderExit {
  readonly layers: number;
  readonly testMacs: number;
}

/** Exits as the policies `similarity` (corrected) and `fixed` do: strictly above, and the last layer is not asked. */
function encoderExit(
  {policy, value}: StackSetting,
  {similarity, testMacs}: MultiDepthEncoding['stacks'][number],
): EncoderExit {
  const depth = similarity.length;
  if (value === null) return {layers: depth, testMacs: 0};
  if (policy === 'fixed') return {layers: Math.min(value, depth), testMacs: 0};
  if (value >= 1) return {layers: depth, testMacs: 0};
  const layers = firstExit(similarity, 0, depth - 1, value, true) + 1;
  return {layers, testMacs: Math.min(layers, depth - 1) * testMacs};
}

/** Policies that never exit and measure nothing are one. */
function withoutIdleTests(plan: StackPlan, depth: number): StackPlan {
  const idle = plan.policy === 'fixed' ? plan.layers! >= depth : plan.policy === 'similarity' && plan.threshold! >= 1;
  return idle ? {policy: 'never'} : plan;
}
