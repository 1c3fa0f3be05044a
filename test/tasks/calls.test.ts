import fs from 'node:fs';
import path from 'node:path';
import {NEVER_PLAN} from '../../src/exit/plan/schema.js';
import type {OfaPipeline} from '../../src/tasks/ofa-processor.js';
import {FIRST_DEVICE, onBackends} from '../support/backends.js';
import {withoutLeaks} from '../support/leaks.js';
import {microModel} from '../support/models/micro-model.js';
import {microMue} from '../support/models/micro-mue.js';

// Calls as plain JavaScript may make them: every wrong value is a typed error that says what it is.

const file = path.join(import.meta.dirname, '..', '..', 'examples', 'pictures', '01.png');
const bytes = new Uint8Array(fs.readFileSync(file));
const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
const picture = {width: 8, height: 8, data: new Uint8Array(192)};
const quick = {num_beams: 1, max_new_tokens: 2};

onBackends(
  'calls',
  () => {
    let mue: OfaPipeline;
    beforeAll(async () => {
      mue = microMue(await microModel('mue'));
    });
    afterAll(() => mue.dispose());
    const caption = (image: unknown, options: unknown = quick) =>
      mue.caption(image as typeof picture, options as object);

    test('a picture may be a Uint8Array, an ArrayBuffer, a DataView or a Blob', async () => {
      const {text} = await caption(bytes);
      for (const form of [buffer, new DataView(buffer), new Blob([buffer]), Buffer.from(bytes)])
        expect((await caption(form)).text).toBe(text);
    });

    test.each<[string, unknown, RegExp]>([
      ['a path', 'photo.jpg', /not 'photo\.jpg'/],
      ['a URL', new URL('file:///photo.jpg'), /not an object of class URL/],
      ['a promise', Promise.resolve(bytes), /class Promise/],
      ['undefined', undefined, /not undefined/],
      ['null', null, /not null/],
      ['a number', 7, /not 7/],
      ['an empty object', {}, /not an object/],
    ])('picture: %s is named in the error', async (_, value, message) => {
      const result = await withoutLeaks(() => caption(value));
      expect(result).toMatchObject({error: {code: 'picture-invalid', exitCode: 2}});
      expect((result as {error: Error}).error.message).toMatch(message);
    });

    test.each<[string, unknown, string]>([
      ['a misspelt name', 'nevr', 'exit-invalid'],
      ['a number', 0.9, 'exit-invalid'],
      ['null', null, 'exit-invalid'],
      ['true', true, 'exit-invalid'],
      ['an empty object', {}, 'plan-invalid'],
      ['a plan with a misspelt key', {...NEVER_PLAN, stack: {}}, 'plan-invalid'],
      [
        'a plan with the name of an object property as policy',
        {...NEVER_PLAN, stacks: {decoder: {policy: 'constructor'}}},
        'plan-policy',
      ],
      ['a policy without a method', {policy: {}}, 'exit-invalid'],
      ['an adjusted plan without a plan', {plan: 'nevr', mode: 'reference'}, 'exit-invalid'],
    ])('exit: %s', async (_, exit, code) => {
      expect(await withoutLeaks(() => caption(picture, {...quick, exit}))).toMatchObject({error: {code, exitCode: 2}});
    });

    test.each<[string, () => Promise<unknown>, RegExp]>([
      ['caption', () => caption(picture, {num_beam: 1}), /no option 'num_beam'/],
      ['prompt', () => mue.prompt(picture, 'a', {maxNewTokens: 1} as object), /no option 'maxNewTokens'/],
      ['entail', () => mue.entail(picture, 'a', {premis: 'b'} as object), /no option 'premis'/],
      ['ask', () => mue.ask(picture, 'a', {anwers: ['b']} as object), /no option 'anwers'/],
    ])('%s: a misspelt option is an error', async (_, run, message) => {
      const result = await withoutLeaks(run);
      expect(result).toMatchObject({error: {code: 'option-unknown', exitCode: 2}});
      expect((result as {error: Error}).error.message).toMatch(message);
    });
    test('a misspelt option: the hint knows what was meant', async () => {
      await expect(caption(picture, {num_beem: 1})).rejects.toMatchObject({hint: 'Did you mean num_beams?'});
      await expect(caption(picture, 5)).rejects.toMatchObject({code: 'options-invalid'});
      await expect(caption(picture, null)).rejects.toMatchObject({code: 'options-invalid'});
    });

    test('texts that are none are named', async () => {
      for (const value of [undefined, null, 7, ['a'], {}]) {
        const text = value as string;
        for (const run of [
          () => mue.entail(picture, text),
          () => mue.ask(picture, text),
          () => mue.prompt(picture, text),
        ])
          expect(await withoutLeaks<unknown>(run)).toMatchObject({error: {code: 'text-invalid', exitCode: 2}});
      }
    });

    test('an abort keeps the reason of the signal as its cause', async () => {
      const reason = new Error('the tab was closed');
      await expect(caption(picture, {signal: AbortSignal.abort(reason)})).rejects.toMatchObject({
        code: 'aborted',
        exitCode: 130,
        cause: reason,
      });
    });

    test('an abort ends the resizing of a large picture, and leaves no tensor', async () => {
      const controller = new AbortController();
      const reason = new Error('the tab was closed');
      setTimeout(() => controller.abort(reason), 0);
      const large = {width: 6000, height: 4000, data: new Uint8Array(6000 * 4000 * 3)};
      const result = await withoutLeaks(() => mue.pixels(large, controller.signal));
      expect(result).toMatchObject({error: {code: 'aborted', cause: reason}});
    });

    test('dispose: later calls are a typed error, and a second dispose does nothing', async () => {
      const other = microMue(await microModel('mue'));
      other.dispose();
      other.dispose();
      for (const run of [() => other.caption(picture), () => other.entail(picture, 'a'), () => other.ask(picture, 'a')])
        await expect(run()).rejects.toMatchObject({code: 'disposed', exitCode: 2});
    });
  },
  FIRST_DEVICE,
);
