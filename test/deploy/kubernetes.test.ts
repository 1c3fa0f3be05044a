import {execFile} from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'mue-deploy-'));
afterAll(() => fs.rmSync(folder, {recursive: true}));
const read = (name: string): string => fs.readFileSync(path.join('deploy', name), 'utf8');
const JOBS = ['kubernetes-indexed-job.yaml', 'kubernetes-gpu-job.yaml'];

/** The shell script of a Job's container. */
function scriptOf(manifest: string): string {
  const block = manifest.match(/^( +)- \|\n((?:\1 {2}.*\n)+)/m)!;
  return block[2]!.replaceAll(`\n${block[1]} `, '\n ').replace(/^ +/gm, '');
}

/** Runs a script with a `mue` that keeps its arguments and ends with a code. @returns the script's exit code */
function run(script: string, code: number): Promise<{readonly code: number; readonly args: string}> {
  const args = path.join(folder, 'args');
  fs.writeFileSync(path.join(folder, 'mue'), `#!/bin/sh\necho "$@" > ${args}\nexit ${code}\n`, {mode: 0o755});
  return new Promise((resolve) => {
    const environment = {...process.env, PATH: `${folder}:${process.env['PATH']}`};
    execFile('sh', ['-c', script], {env: environment}, (error) =>
      resolve({code: error ? Number(error.code) : 0, args: fs.readFileSync(args, 'utf8')}),
    );
  });
}

describe.each(JOBS)('deploy/%s', (name) => {
  const manifest = read(name);

  test('tells its pods of how many shards they are', () => {
    const completions = manifest.match(/^ {2}completions: (\d+)$/m)![1];
    expect(manifest).toContain(`- name: JOB_COMPLETIONS\n              value: "${completions}"`);
    expect(manifest).toContain(`  parallelism: ${completions}\n`);
  });

  test.each([
    [0, 0],
    [5, 0],
    [3, 3],
    [130, 130],
  ])('ends with the code that the Job is to see: %d of mue is %d', async (code, seen) => {
    const ran = await run(scriptOf(manifest), code);
    expect(ran.code).toBe(seen);
    expect(ran.args).toMatch(/^evaluate --task snli-ve .* --out \/out\/run\n$/);
  });
});

test.each([...JOBS, 'kubernetes-merge-job.yaml'])(
  'deploy/%s: runs without rights, on volumes that are claimed',
  (name) => {
    const manifest = read(name);
    expect(manifest).toContain('runAsNonRoot: true');
    expect(manifest).toContain('readOnlyRootFilesystem: true');
    const claims = [...read('kubernetes-volumes.yaml').matchAll(/^ {2}name: (\S+)$/gm)].map(([, claim]) => claim);
    for (const [, claim] of manifest.matchAll(/claimName: ([\w-]+)/g)) expect(claims).toContain(claim);
  },
);

test('deploy/: every image that a manifest names is one that the head of the Dockerfile builds, of this version', () => {
  const {version} = JSON.parse(fs.readFileSync('package.json', 'utf8')) as {version: string};
  const built = [...read('Dockerfile').matchAll(/-t (\S+)/g)].map(([, image]) => image);
  expect(built).toEqual([`mue-tfjs:${version}`, `mue-tfjs:${version}-gpu`]);
  for (const name of [...JOBS, 'kubernetes-merge-job.yaml'])
    for (const [, image] of read(name).matchAll(/image: (\S+)/g)) expect(built).toContain(image);
});
