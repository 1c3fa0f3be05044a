import {execFileSync} from 'node:child_process';
import {fileURLToPath} from 'node:url';

const inProject = (file: string): string => fileURLToPath(new URL(`../../${file}`, import.meta.url));

describe('the command line as one file', () => {
  const mue = (...args: string[]): string =>
    execFileSync(process.execPath, [inProject('dist/cli/mue.cjs'), ...args], {encoding: 'utf8', stdio: 'pipe'});

  beforeAll(() => {
    // Anew, since a build by the compiler alone leaves an older bundle.
    execFileSync(process.execPath, [inProject('tools/bundle-cli.mjs')]);
  });

  it('answers about a picture', () => {
    expect(mue('caption', '--quiet', inProject('examples/pictures/01.png'))).toBe('two big cupcakes in a room\n');
  });

  it('ends with the exit code of wrong usage, and says what is wrong', () => {
    expect(() => mue('caption', '--beams', 'many', 'x.png')).toThrow(
      expect.objectContaining({status: 2, stderr: expect.stringContaining('--beam')}),
    );
  });
});
