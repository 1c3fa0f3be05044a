import {createHash} from 'node:crypto';
import swc from '@swc/jest';

/**
 * The jest transform of the sources and of tfjs: the globals of inner loops become names of the module. Jest runs tests
 * in a vm context, where looking up a global `Math` or `Infinity` goes through an interceptor: a loop over numbers
 * takes five to fifteen times as long there as outside.
 */
const HEAD = 'const {Math, Number, Array, Float32Array, Float64Array, Int32Array, Uint8Array, Infinity, NaN} = globalThis; ';

const typescript = swc.createTransformer();

export default {
  process(source, file, options) {
    if (!file.endsWith('.ts')) return {code: `'use strict'; ${HEAD}${source}`};
    const {code, map} = typescript.process(source, file, options);
    // On the first line, so that the source map stays right.
    return {code: HEAD + code, map};
  },
  getCacheKey(source, file, options) {
    const key = file.endsWith('.ts') ? typescript.getCacheKey(source, file, options) : '';
    return createHash('sha256').update(HEAD).update(key).update(source).digest('hex');
  },
};
