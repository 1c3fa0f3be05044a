import {Option} from '@commander-js/extra-typings';
import type {ExitPlan} from '../../exit/plan/schema.js';
import {SCHEDULE_NAMES} from '../../exit/policies/threshold.js';
import {SKIPPED_KV} from '../../exit/stacks.js';
import {UsageError} from '../../runtime/errors.js';
import type {CustomExit, ExitChoice, TaskName} from '../../tasks/exits.js';
import {type OptionsOf, optionGroup} from '../core/define-command.js';
import {stackThresholds, threshold} from './values.js';
import {readTextFile} from '../../node/files/regular-file.js';

/** When to stop: --exit, thresholds and what surrounds them. */
export const withExits = optionGroup((command) =>
  command
    .option(
      '--exit <plan>',
      "model (its own plan), never, release (the authors' scripts), lossless (full depth's answer from drafts) or a " +
        'plan.json (default: model)',
    )
    .option(
      '--img_thres <x>',
      'exit the image stream above this similarity; any threshold replaces the plan',
      threshold('--img_thres'),
    )
    .option('--txt_thres <x>', 'the same of the text stream; a threshold not given is never', threshold('--txt_thres'))
    .option('--decoder_thres <x>', 'the same of the decoder', threshold('--decoder_thres'))
    .option(
      '--thres <stack=x,…>',
      'the same by the names of the stacks, of any model: vision=0.97,multimodal=0.8',
      stackThresholds('--thres'),
    )
    .addOption(
      new Option(
        '--schedule <name>',
        'how the threshold of the stack that writes moves with the step (default: constant)',
      ).choices(SCHEDULE_NAMES),
    )
    .addOption(
      new Option('--mode <name>', "reference is the authors' release, quirks and all (default: corrected)").choices([
        'corrected',
        'reference',
      ]),
    )
    .addOption(
      new Option('--skipped-kv <name>', 'keys and values of skipped decoder layers (default: project)').choices(
        SKIPPED_KV,
      ),
    ),
);
export type ExitOptions = OptionsOf<typeof withExits>;

/** When to stop, as plain data: command lines have no policies in code. */
export type PlanChoice = Exclude<ExitChoice, CustomExit>;

/**
 * The exit options together as one choice: any threshold replaces the plan; schedule, mode and skipped K/V given beside
 * a plan change it. Needs no model: `resolveExits` does the rest.
 * @throws UsageError for options that exclude each other, and for a plan that is missing or invalid
 */
export async function parseExitOptions(options: ExitOptions, task: TaskName): Promise<PlanChoice> {
  const {exit = 'model', img_thres: image, txt_thres: text, decoder_thres: decoder, thres} = options;
  const {schedule, mode, skippedKv} = options;
  const presets = await import('../../exit/plan/presets.js');
  const three = image !== undefined || text !== undefined || decoder !== undefined;
  if (three || thres !== undefined) {
    if (options.exit !== undefined)
      throw new UsageError('exit-twice', `--exit ${exit} and thresholds exclude each other`, {
        hint: 'Thresholds are a plan of their own: leave --exit out.',
      });
    if (three && thres !== undefined)
      throw new UsageError(
        'thresholds-twice',
        '--thres and --img_thres, --txt_thres, --decoder_thres exclude each other',
        {hint: 'Give all thresholds with --thres, by the names of the stacks.'},
      );
    const {similarityPlan, thresholdPlan} = presets;
    const defaults = {schedule, mode, skippedKv};
    return thres ? similarityPlan(thres, defaults) : thresholdPlan({image, text, decoder, ...defaults});
  }
  const plan = presets.isPlanName(exit) ? exit : await readPlan(exit, task);
  const adjusted = schedule !== undefined || mode !== undefined || skippedKv !== undefined;
  return adjusted ? {plan, schedule, mode, skippedKv} : plan;
}

async function readPlan(file: string, task: TaskName): Promise<ExitPlan> {
  const {parsePlan} = await import('../../exit/plan/schema.js');
  let text: string;
  try {
    text = readTextFile(file);
  } catch (cause) {
    throw new UsageError('plan-missing', `--exit ${file}: the plan cannot be read: ${(cause as Error).message}`, {
      cause,
      hint: 'It is model, never, release, lossless, or the path of a plan that `mue calibrate` wrote.',
    });
  }
  return parsePlan(text, file, task);
}
