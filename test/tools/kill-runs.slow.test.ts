import {spawnSync} from 'node:child_process';
import path from 'node:path';

test('kill-runs: bulk commands that were killed end with the files of an undisturbed run', () => {
  const tool = path.join(import.meta.dirname, '..', '..', 'tools', 'kill-runs.mjs');
  const {stdout, stderr, status} = spawnSync(process.execPath, [tool, '--kills', '10'], {encoding: 'utf8'});
  expect([status, stderr, stdout]).toEqual([0, '', expect.stringMatching(/: 10 kills of \d+ outputs, 0 differ\n$/)]);
}, 600_000);
