import type {WriteStream} from 'node:tty';

/**
 * Whether a stream shows colours: a terminal that can, unless NO_COLOR is set (https://no-color.org); FORCE_COLOR makes
 * any stream show them, and its 0 none.
 */
export function hasColours(
  stream: Pick<WriteStream, 'isTTY' | 'hasColors'>,
  {NO_COLOR, FORCE_COLOR}: Readonly<Record<string, string | undefined>> = process.env,
): boolean {
  if ((NO_COLOR ?? '') !== '' || FORCE_COLOR === '0') return false;
  return FORCE_COLOR !== undefined || (stream.isTTY && stream.hasColors());
}
