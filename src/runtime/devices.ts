import {BackendError} from './errors.js';

/** Every word that `--device` takes. */
export const DEVICES = ['auto', 'native', 'cuda', 'webgpu', 'wasm', 'cpu'] as const;
export type Device = (typeof DEVICES)[number];
/** A device that runs: every one but 'auto'. */
export type ConcreteDevice = Exclude<Device, 'auto'>;

/** Devices of before, and what is quicker than each was. */
const REMOVED: ReadonlyMap<string, ConcreteDevice> = new Map([['onnx', 'wasm']]);

/**
 * Takes a word for the name of a device.
 * @throws BackendError 'unknown-device'
 */
export function deviceNamed(word: string): Device {
  const device = DEVICES.find((name) => name === word);
  if (device !== undefined) return device;
  const better = REMOVED.get(word);
  if (better !== undefined)
    throw new BackendError('unknown-device', `--device: '${word}' was removed; '${better}' is quicker`, {
      hint: `Take --device ${better}.`,
    });
  throw new BackendError('unknown-device', `--device: wanted one of ${DEVICES.join(', ')}, got '${word}'`, {
    hint: "'auto' takes the fastest that works here",
  });
}
