/**
 * How layers that an exit skipped get their keys and values for that token (ofa_mue section 10.9, early_exit B3).
 * `gap`: not at all, their caches stay shorter, as in the release; `copy`: they take over the exit layer's cache, the
 * research branch's intent, or (coca section 10) its keys and values of that token alone; `project`: from the exit state, through their own projections; `just-in-time`: exact, the
 * token is run through the missing layers, together with the next one that goes deeper.
 */
export type SkippedKv = 'gap' | 'copy' | 'project' | 'just-in-time';
export const SKIPPED_KV: readonly SkippedKv[] = ['gap', 'copy', 'project', 'just-in-time'];
