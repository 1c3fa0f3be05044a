import {parseShard, type Shard, WHOLE} from '../../evaluation/shard.js';
import {UsageError} from '../../runtime/errors.js';

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The shard of --shard, else that of the job array this process is part of: a Kubernetes Indexed Job
 * (JOB_COMPLETION_INDEX, with JOB_COMPLETIONS set by the manifest) or a Slurm array; else everything.
 * @throws UsageError `shard-invalid`, `shard-count`
 */
export function shardChoice(flag: string | undefined, environment: Environment): Shard {
  if (flag !== undefined) return parseShard(flag);
  const {
    JOB_COMPLETION_INDEX: pod,
    JOB_COMPLETIONS: pods,
    SLURM_ARRAY_TASK_ID: task,
    SLURM_ARRAY_TASK_COUNT: tasks,
  } = environment;
  if (pod !== undefined) {
    if (pods === undefined)
      throw new UsageError(
        'shard-count',
        `JOB_COMPLETION_INDEX is ${pod}, but JOB_COMPLETIONS is not set: of how many is not known`,
        {
          hint: "Set JOB_COMPLETIONS to the job's .spec.completions, or give --shard i/n (0/1 for all rows).",
        },
      );
    return parseShard(`${pod}/${pods}`, 'JOB_COMPLETION_INDEX/JOB_COMPLETIONS');
  }
  if (task === undefined) return WHOLE;
  if (tasks === undefined)
    throw new UsageError('shard-count', `SLURM_ARRAY_TASK_ID is ${task}, but SLURM_ARRAY_TASK_COUNT is not set`, {
      hint: 'Give --shard i/n.',
    });
  return slurmShard(task, tasks, environment);
}

/** The shard of a task of a Slurm array. Arrays may start anywhere and count in steps: 1-10, 0-90:10. */
function slurmShard(task: string, tasks: string, environment: Environment): Shard {
  const {
    SLURM_ARRAY_TASK_MIN: first = '0',
    SLURM_ARRAY_TASK_MAX: last,
    SLURM_ARRAY_TASK_STEP: step = '1',
  } = environment;
  const place = (id: string): number => (Number(id) - Number(first)) / Number(step);
  // A task that is submitted again by itself looks like an array of one: taken for one, it would run everything.
  if (Number(tasks) === 1)
    throw new UsageError('shard-count', `SLURM_ARRAY_TASK_ID is ${task}, the only task of its array`, {
      hint: 'Give --shard i/n for one part of several again, or --shard 0/1 for all rows.',
    });
  if (last !== undefined && place(last) + 1 !== Number(tasks))
    throw new UsageError(
      'shard-count',
      `SLURM_ARRAY_TASK_COUNT is ${tasks}, but from ${first} to ${last} in steps of ${step} there are ${place(last) + 1}`,
      {hint: 'An array with gaps does not say of how many parts its tasks are: give --shard i/n.'},
    );
  return parseShard(`${place(task)}/${tasks}`, `SLURM_ARRAY_TASK_ID ${task} from ${first}`);
}
