import {ClipTokenizer} from '../../src/data/clip-tokenizer.js';
import {cocaJson, describeCoca} from '../support/golden/golden-coca.js';
import {clipMerges} from '../support/data/vocabulary.js';

interface Vector {
  readonly text: string;
  readonly cleaned: string;
  readonly ids: number[];
  readonly needs: 'nothing' | 'ftfy_simple' | 'ftfy_encoding';
  readonly decoded: string;
}
interface TokenizerVectors {
  readonly vectors: readonly Vector[];
  readonly padded: readonly {text: string; context_length: number; ids: number[]}[];
  readonly sot: number;
  readonly eot: number;
  readonly pad: number;
  readonly vocab_size: number;
}

/** The file was written with `[ 1 ]` made `[1]`, which hit a decoded text in brackets, too: `[ brackets ] `. */
const compact = (text: string): string => text.replace(/\[\s+/g, '[').replace(/\s+\]/g, ']');

describeCoca("CLIP's tokenizer equals open_clip's", ['tokenizer_vectors.json'], () => {
  const g = cocaJson<TokenizerVectors>('tokenizer_vectors.json');
  const tokenizer = new ClipTokenizer({merges: clipMerges()});

  test('sizes and special ids', () => {
    expect([tokenizer.size, tokenizer.bos, tokenizer.eos, tokenizer.pad]).toEqual([g.vocab_size, g.sot, g.eot, g.pad]);
  });
  test('cleaned texts, ids and decoded texts', () => {
    expect(g.vectors.length).toBeGreaterThan(0);
    for (const {text, cleaned, ids, needs, decoded} of g.vectors) {
      // The heuristic of wrongly decoded bytes is left out; what it would give still decodes.
      if (needs !== 'ftfy_encoding') {
        expect({text, cleaned: tokenizer.clean(text)}).toEqual({text, cleaned});
        expect({text, ids: tokenizer.encode(text)}).toEqual({text, ids});
      }
      // open_clip writes specials out.
      const plain = decoded.replaceAll('<start_of_text>', '').replace(/<end_of_text>.*/s, '');
      expect({text, decoded: compact(tokenizer.decode(ids))}).toEqual({text, decoded: compact(plain)});
    }
  });
  test('padded and truncated sequences', () => {
    expect(g.padded.length).toBeGreaterThan(0);
    for (const {text, context_length: context, ids} of g.padded) {
      const {ids: found, cut} = tokenizer.sequence(text, context);
      expect([...found, ...new Array<number>(context - found.length).fill(tokenizer.pad)]).toEqual(ids);
      expect(cut).toBe(Math.max(0, tokenizer.encode(text).length + 2 - context));
    }
  });
  const repaired = g.vectors.filter(({needs}) => needs === 'ftfy_encoding');
  const equal = repaired.filter(({text, cleaned}) => tokenizer.clean(text) === cleaned).length;
  test.skip(`encoding repair is left out: ${equal} of ${repaired.length} vectors that need it come out equal`, () =>
    undefined);
});
