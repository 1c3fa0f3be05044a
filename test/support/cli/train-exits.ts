import fs from 'node:fs';
import path from 'node:path';
import {microFolder} from '../models/micro-folder.js';
import {runMue} from './run-mue.js';

/** A micro model with the first rows of the scenes' data sets, and `mue train exits` on them. */
export interface TrainExits {
  readonly model: string;
  train(task: 'caption' | 'snli-ve', ...options: string[]): ReturnType<typeof runMue>;
}

/** @param rows of each task, written to `<task>.jsonl` in the folder */
export async function trainExitsIn(
  root: string,
  rows: {readonly caption: number; readonly 'snli-ve': number},
): Promise<TrainExits> {
  const model = await microFolder(root);
  const data = (task: string): string => path.join(root, `${task}.jsonl`);
  for (const [task, file] of [
    ['caption', 'caption-val'],
    ['snli-ve', 'snli-ve-calibration'],
  ] as const) {
    const lines = fs.readFileSync(`data/scenes/${file}.jsonl`, 'utf8').split('\n').slice(0, rows[task]);
    fs.writeFileSync(data(task), `${lines.join('\n')}\n`);
  }
  const train: TrainExits['train'] = (task, ...options) =>
    runMue(['train', 'exits', model, '--task', task, '--data', data(task), '--images', 'data/scenes', ...options]);
  return {model, train};
}
