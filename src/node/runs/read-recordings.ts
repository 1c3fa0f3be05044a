import {parseRecording, type Recording} from '../../calibration/recording/entailment.js';
import {readShards, requireRows, type Shards} from './read-shards.js';

/**
 * Reads a recording of entailment items, or the shards of one.
 * @returns the recording and the SHA-256 of its header and rows
 * @throws InputError if a file is no such recording, or as `readShards` does
 */
export function readRecordings(files: readonly string[]): {readonly recording: Recording; readonly sha256: string} {
  return recordingOf(readShards(files));
}

/** The same of files that were read already. */
export function recordingOf(shards: Shards): {readonly recording: Recording; readonly sha256: string} {
  const recording = parseRecording(shards.header, shards.rows, shards.source);
  requireRows(shards);
  return {recording, sha256: shards.sha256};
}
