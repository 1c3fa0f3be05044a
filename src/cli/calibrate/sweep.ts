import {Option} from '@commander-js/extra-typings';
import {parseShard, WHOLE} from '../../evaluation/shard.js';
import {UsageError} from '../../runtime/errors.js';
import {defineCommand} from '../core/define-command.js';
import {modelChoice, withModel} from '../options/model.js';
import {share, wholeNumber} from '../options/values.js';
import type {SettingsChoice} from './read-settings.js';
import type {CaptionSource} from './sweep-captions.js';
import type {SweepTarget} from './write-sweep.js';

export const sweep = defineCommand({
  name: 'sweep',
  summary:
    'Replay exit policies on a recording: quality, layers and MACs of thousands of thresholds in seconds. ' +
    'Captions depend on every word before: a recording of those proposes settings, --run runs the promising ones ' +
    'for real, --data those of --thresholds.',
  example: 'mue sweep recording.jsonl --out swept',
  arguments: [
    [
      '[recordings...]',
      'a recording of `mue record`, or its shards; or the runs.jsonl of caption settings that were run in shards',
    ],
  ],
  options: (command) => {
    const replayed = command
      .requiredOption(
        '--out <folder>',
        'where sweep.csv, sweep.json, front.json (the fronts of all policies) and chosen.json (what the verdicts ' +
          'judge) go',
      )
      .option('--policies <list>', 'of the decoder, separated by commas (default: all)')
      .option('--grid <n>', 'thresholds a stack, at quantiles of the scores in the recording', wholeNumber(2), 10)
      .option(
        '--thresholds <file>',
        'settings to replay instead: the sweep.json, front.json or chosen.json of other data, or ' +
          '{"points": [[image, text, decoder], …]}',
      )
      .option(
        '--train <recording>',
        'what linear-head learns from; without it, halves of the pictures learn for each other',
      )
      .addOption(
        new Option('--cost <name>', 'of the front that is printed').choices(['layers', 'macs']).default('macs'),
      )
      .option('--retention <x>', 'the claim that verdicts judge (default: 0.99, of captions 0.96)', share)
      .option('--level <x>', 'confidence of the verdicts', share, 0.95)
      .option('--resamples <n>', 'of the bootstrap over pictures', wholeNumber(1), 10_000)
      .option('--seed <n>', 'of the bootstrap and of training', wholeNumber(0), 0);
    return withModel(replayed)
      .addOption(new Option('--task <name>', 'what --data is for').choices(['caption']))
      .option(
        '--data <file>',
        'captions to run the settings of --thresholds on; the same command goes on where it was stopped',
      )
      .option('--run <file>', 'a recording of captions: run the promising settings of its replay on these captions')
      .option('--points <n>', 'settings of each front that are promising', wholeNumber(1), 12)
      .option('--images <folder>', 'where the pictures are that the data names')
      .option('--columns <list>', "columns of a TSV file, as OFA's selected_cols")
      .option('--split <name>', 'the split of a Karpathy file')
      .option('--limit <n>', 'only the first rows of the data', wholeNumber(1))
      .option('--shard <i/n>', 'only the i-th of n parts of the pictures, from 0, into a folder of its own in --out');
  },
  async run([files], options, context) {
    const {thresholds, policies, grid, train, data, run, points} = options;
    const {out: folder, cost, retention, level, resamples, seed} = options;
    const target: SweepTarget = {folder, cost, retention, level, resamples, seed};
    const captions = (file: string): CaptionSource => {
      const {images, columns, split, limit, shard} = options;
      return {
        data: file,
        dataset: {images, columns, split},
        limit,
        shard: shard === undefined ? WHOLE : parseShard(shard),
        model: modelChoice(options),
      };
    };
    if (files.length === 0 && data === undefined)
      throw new UsageError(
        'nothing-to-sweep',
        'a recording of `mue record` is needed, or --task caption --data <file> to run settings on',
      );
    if (files.length === 0 && thresholds === undefined)
      throw new UsageError(
        'settings-missing',
        'captions are searched for setting by setting: --thresholds <file> says which',
        {hint: '{"points": [[image, text, decoder], …]}, or the front.json of another sweep.'},
      );
    const {parsePolicies, readSettings} = await import('./read-settings.js');
    const settings = (): SettingsChoice => ({
      file: thresholds,
      policies: policies === undefined ? undefined : parsePolicies(policies, '--policies'),
      grid,
    });
    if (files.length === 0) {
      const {runSettings} = await import('./sweep-captions.js');
      return await runSettings(readSettings(thresholds!, settings().policies), captions(data!), target, context);
    }
    const {CAPTION_RECORDING} = await import('../../calibration/recording/caption.js');
    const {hasFormat} = await import('../../calibration/recording/row-file.js');
    const {SETTING_RUNS} = await import('../../calibration/settings/runs.js');
    const {readShards} = await import('../../node/runs/read-shards.js');
    const shards = readShards(files);
    if (hasFormat(shards.header, CAPTION_RECORDING)) {
      const {sweepCaptionRecording} = await import('./sweep-proposal.js');
      const promising = {most: points, runOn: run === undefined ? undefined : captions(run)};
      return await sweepCaptionRecording(shards, settings(), promising, target, context);
    }
    if (run !== undefined)
      throw new UsageError(
        'run-needless',
        '--run is for recordings of captions: what is replayed here is exact already',
      );
    if (hasFormat(shards.header, SETTING_RUNS)) {
      const {sweepRuns} = await import('./sweep-captions.js');
      sweepRuns(shards, target, context);
    } else {
      const {sweepEntailment} = await import('./sweep-entailment.js');
      sweepEntailment(shards, settings(), train, target, context);
    }
    return 0;
  },
});
