#!/bin/bash
# Evaluates a data set in shards as a Slurm job array, one task a shard, then puts them together:
#
#   sbatch --array=0-7 slurm-array.sh                      # 8 shards
#   sbatch --dependency=afterok:<job id> --wrap "mue merge $OUT --out $OUT"
#
# The shard is (SLURM_ARRAY_TASK_ID − SLURM_ARRAY_TASK_MIN) / SLURM_ARRAY_TASK_STEP of SLURM_ARRAY_TASK_COUNT: any --array without
# gaps will do (0-7, 1-8, 0-70:10). A single task submitted again, or a list with gaps, is refused, since it does not say of how
# many shards: submit without --array and give the shard yourself, as SHARD=3/8 below.
#SBATCH --job-name=mue-evaluate
#SBATCH --cpus-per-task=1
#SBATCH --mem=2G
#SBATCH --time=04:00:00
# A minute before the time is up, the run is told to end; requeued, it goes on after its last row.
#SBATCH --signal=B:TERM@60
#SBATCH --requeue
#SBATCH --output=mue-%A_%a.log
set -u

MUE=${MUE:-mue}
TASK=${TASK:-snli-ve}
DATA=${DATA:?path of the data set}
OUT=${OUT:?folder that all tasks can write to}
# One device by name, so that all shards use the same; what else `mue evaluate` takes goes into EXTRA.
DEVICE=${DEVICE:-wasm}
SHARD=${SHARD:+--shard $SHARD}

# shellcheck disable=SC2086
$MUE evaluate --task "$TASK" --data "$DATA" --device "$DEVICE" --out "$OUT" ${SHARD:-} ${EXTRA:-} &
# The shell gets the signal, and hands it on.
trap 'kill -TERM $!' TERM
wait $!
code=$?
# A signal ends only the wait.
while kill -0 $! 2>/dev/null; do
  wait $!
  code=$?
done
# 5: some rows were skipped (bad-rows.jsonl lists them), but the shard is finished; afterok wants 0.
[ "$code" -eq 5 ] && exit 0
# 130: interrupted; ask for another go.
[ "$code" -eq 130 ] && [ -n "${SLURM_JOB_ID:-}" ] && scontrol requeue "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}"
exit "$code"
