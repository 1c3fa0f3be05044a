import {shardChoice} from '../../../src/cli/options/shard.js';
import {UsageError} from '../../../src/runtime/errors.js';

test.each([
  [undefined, {}, '0/1'],
  ['2/5', {JOB_COMPLETION_INDEX: '0', JOB_COMPLETIONS: '3'}, '2/5'],
  [undefined, {JOB_COMPLETION_INDEX: '1', JOB_COMPLETIONS: '3'}, '1/3'],
  [
    undefined,
    {SLURM_ARRAY_TASK_ID: '0', SLURM_ARRAY_TASK_COUNT: '4', SLURM_ARRAY_TASK_MIN: '0', SLURM_ARRAY_TASK_STEP: '1'},
    '0/4',
  ],
  // --array=1-4 and --array=0-30:10
  [
    undefined,
    {SLURM_ARRAY_TASK_ID: '4', SLURM_ARRAY_TASK_COUNT: '4', SLURM_ARRAY_TASK_MIN: '1', SLURM_ARRAY_TASK_STEP: '1'},
    '3/4',
  ],
  [
    undefined,
    {
      SLURM_ARRAY_TASK_ID: '20',
      SLURM_ARRAY_TASK_COUNT: '4',
      SLURM_ARRAY_TASK_MIN: '0',
      SLURM_ARRAY_TASK_STEP: '10',
      SLURM_ARRAY_TASK_MAX: '30',
    },
    '2/4',
  ],
])('shardChoice: --shard %s in %j is %s', (flag, environment, wanted) => {
  const {index, count} = shardChoice(flag, environment);
  expect(`${index}/${count}`).toBe(wanted);
});

test.each<[string | undefined, Record<string, string>]>([
  ['4/4', {}],
  [undefined, {JOB_COMPLETION_INDEX: '1'}],
  [undefined, {SLURM_ARRAY_TASK_ID: '1'}],
  [undefined, {JOB_COMPLETION_INDEX: '3', JOB_COMPLETIONS: '3'}],
  // --array=2, one task of 0-3 again
  [
    undefined,
    {SLURM_ARRAY_TASK_ID: '2', SLURM_ARRAY_TASK_COUNT: '1', SLURM_ARRAY_TASK_MIN: '2', SLURM_ARRAY_TASK_MAX: '2'},
  ],
  [
    undefined,
    {SLURM_ARRAY_TASK_ID: '0', SLURM_ARRAY_TASK_COUNT: '1', SLURM_ARRAY_TASK_MIN: '0', SLURM_ARRAY_TASK_MAX: '0'},
  ],
  // --array=0,2,9 has gaps
  ...['0', '2', '9'].map((id): [undefined, Record<string, string>] => [
    undefined,
    {SLURM_ARRAY_TASK_ID: id, SLURM_ARRAY_TASK_COUNT: '3', SLURM_ARRAY_TASK_MIN: '0', SLURM_ARRAY_TASK_MAX: '9'},
  ]),
  [undefined, {SLURM_ARRAY_TASK_ID: '9', SLURM_ARRAY_TASK_COUNT: '3', SLURM_ARRAY_TASK_MIN: '0'}],
])('shardChoice: --shard %s in %j is a UsageError', (flag, environment) => {
  expect(() => shardChoice(flag, environment)).toThrow(UsageError);
});
