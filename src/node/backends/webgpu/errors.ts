import {BackendError} from '../../../runtime/errors.js';

/** The parts of tfjs' WebGPU backend that errors pass through. */
export interface WebgpuBackend {
  readonly device: {
    onuncapturederror: ((event: {readonly error: {readonly message: string}}) => void) | null;
    readonly lost: Promise<{readonly reason: string; readonly message: string}>;
  };
  read(dataId: object): Promise<ArrayLike<number>>;
}

/** Dawn's words for a buffer that the device has no room for now, or could never have. */
const NO_ROOM =
  /out of memory|OUT_OF_(DEVICE|HOST)_MEMORY|failed to allocate|exceeds the max buffer size|larger than the maximum/i;

/**
 * Makes reads fail after the device has refused a command. WebGPU reports such a command by an event, goes on, and
 * leaves zeros in the place of the result, and tfjs does not listen. Which tensors are zeros cannot be told, so every
 * later read of this backend throws.
 */
export function refuseAfterErrors(backend: WebgpuBackend): void {
  let failure: BackendError | undefined;
  const fail = (words: string, cause?: unknown): void => {
    const first = words.trim().split('\n')[0];
    failure ??= NO_ROOM.test(words)
      ? new BackendError('out-of-memory', `webgpu: out of memory: ${first}`, {
          cause,
          hint: 'a smaller batch, image or model, in a new process; or another --device',
        })
      : new BackendError('device-error', `webgpu: the device refused a command: ${first}`, {
          cause,
          hint: 'a newer driver, or another --device',
        });
  };
  const {device} = backend;
  const read = backend.read.bind(backend);
  device.onuncapturederror = ({error}) => fail(error.message, error);
  void device.lost.then(({reason, message}) => fail(`it is lost (${reason}): ${message}`));
  backend.read = async (dataId) => {
    const values = await read(dataId).catch((error: unknown) => {
      throw failure ?? error;
    });
    if (failure) throw failure;
    return values;
  };
}
