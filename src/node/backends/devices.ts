import type {ConcreteDevice} from '../../runtime/devices.js';

/**
 * The devices that `auto` tries, in this order; it takes the first that works. It never downloads or builds anything,
 * and leaves WebGPU (whose fp32 is less exact) to those who ask for it.
 */
export const AUTO: readonly ConcreteDevice[] = ['cuda', 'native', 'wasm', 'cpu'];

/** The reason that a device cannot run here, in a sentence, and the command that changes that. */
export class DeviceUnavailableError extends Error {
  readonly hint: string | undefined;
  constructor(message: string, hint?: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : {cause});
    this.hint = hint;
  }
}

/** One device that was tried. */
export interface DeviceProbe {
  readonly device: ConcreteDevice;
  readonly ok: boolean;
  /** Why it cannot run here, in a sentence. */
  readonly reason?: string;
  /** The command that changes that. */
  readonly hint?: string;
}
