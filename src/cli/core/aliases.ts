/** fairseq's and Hugging Face's spellings of our options, so that command lines of OFA and MuE can be pasted. */
export const ALIASES: Readonly<Record<string, string>> = {
  '--beam': '--num-beams',
  '--num_beams': '--num-beams',
  '--max-len-b': '--max-new-tokens',
  '--max_len_b': '--max-new-tokens',
  '--max_new_tokens': '--max-new-tokens',
  '--min-len': '--min-length',
  '--min_length': '--min-length',
  '--no_repeat_ngram_size': '--no-repeat-ngram-size',
  '--lenpen': '--length-penalty',
  '--length_penalty': '--length-penalty',
  '--img-thres': '--img_thres',
  '--txt-thres': '--txt_thres',
  '--decoder-thres': '--decoder_thres',
  '--skipped_kv': '--skipped-kv',
  '--max_pixels': '--max-pixels',
};

/** Arguments with aliases replaced by the options' own names, `--alias=value` too; nothing after `--` is touched. */
export function replaceAliases(args: readonly string[]): string[] {
  const end = args.indexOf('--');
  return args.map((arg, i) => {
    if ((end >= 0 && i >= end) || !arg.startsWith('--')) return arg;
    const equals = arg.indexOf('=');
    const name = equals < 0 ? arg : arg.slice(0, equals);
    const known = ALIASES[name];
    return known === undefined ? arg : known + arg.slice(name.length);
  });
}
