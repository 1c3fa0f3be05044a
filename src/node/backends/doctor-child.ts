// Examines one device in a process of its own: a driver that crashes takes only this process down.
// usage: node doctor-child.js DEVICE SECONDS [NATIVE_FOLDER]; the last line of stdout is a DeviceReport as JSON.
import {BackendError} from '../../runtime/errors.js';
import {selectBackend} from './select.js';
import type {DeviceReport} from './doctor.js';
import {microBench} from './micro-bench.js';

const [device = '', seconds = '0', nativeFolder] = process.argv.slice(2);

async function report(): Promise<DeviceReport> {
  try {
    const {backend, device: concrete, threads, note} = await selectBackend(device, {nativeFolder});
    const bench = Number(seconds) > 0 ? await microBench(Number(seconds)) : undefined;
    return {device: concrete, ok: true, backend, note, threads, bench};
  } catch (error) {
    const reason = (error instanceof Error ? error.message : String(error)).replace(`--device ${device}: `, '');
    const hint = error instanceof BackendError ? error.hint : undefined;
    return {device: device as DeviceReport['device'], ok: false, reason, hint};
  }
}

// The threads of a GPU may outlive the work: leave once the line is out.
process.stdout.write(`\n${JSON.stringify(await report())}\n`, () => process.exit(0));
