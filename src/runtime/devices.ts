import {BackendError} from './errors.js';

/** Every word that `--device` takes. */
export const DEVICES = ['auto', 'native', 'cuda', 'webgpu', 'onnx', 'wasm', 'cpu'] as const;
export type Device = (typeof DEVICES)[number];
/** A device that runs: every one but 'auto'. */
export type ConcreteDevice = Exclude<Device, 'auto'>;

/**
 * Takes a word for the name of a device.
 * @throws BackendError 'unknown-device'
 */
export function deviceNamed(word: string): Device {
  const device = DEVICES.find((name) => name === word);
  if (device !== undefined) return device;
  throw new BackendError('unknown-device', `--device: wanted one of ${DEVICES.join(', ')}, got '${word}'`, {
    hint: "'auto' takes the fastest that works here",
  });
}
