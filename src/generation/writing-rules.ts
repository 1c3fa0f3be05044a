/**
 * Two rule sets for writing a text, both open_clip's: `classic` is what its releases up to 3.3 do and published captions were made with,
 * `current` its development line, which follows Hugging Face's generation (coca.md section 7).
 */
export const WRITING_RULES: readonly ['classic', 'current'] = ['classic', 'current'];
export type WritingRules = (typeof WRITING_RULES)[number];
