import {createRequire} from 'node:module';
import {DeviceUnavailableError} from '../devices.js';

type Dawn = {
  readonly globals: object;
  create(flags: readonly string[]): {requestAdapter(options: object): Promise<Adapter | null>};
};
type AdapterInfo = {
  readonly vendor?: string;
  readonly architecture?: string;
  readonly description?: string;
  readonly isFallbackAdapter?: boolean;
};
type Adapter = {readonly info?: AdapterInfo};

const PACKAGES = ['webgpu', '@tensorflow/tfjs-backend-webgpu'] as const;
/**
 * The first version of `webgpu` known to let a process end: 0.4.0 keeps a core busy for ever, and crashes when a device
 * is garbage-collected.
 */
const OLDEST = [0, 6, 2] as const;
const INSTALL = `npm i --no-save --ignore-scripts webgpu@${OLDEST.join('.')} @tensorflow/tfjs-backend-webgpu@4.22.0`;
const require = createRequire(import.meta.url);

/**
 * Brings WebGPU into Node (Dawn, from the npm package `webgpu`) and registers tfjs' backend for it. The two packages
 * hold 150 MB and run only where there is a GPU with a Vulkan, Metal or D3D12 driver, so they are no dependencies of
 * this one.
 * @returns the adapter's name
 * @throws DeviceUnavailableError
 */
export async function registerWebgpu(): Promise<string> {
  for (const name of PACKAGES) {
    try {
      require.resolve(`${name}/package.json`);
    } catch {
      throw new DeviceUnavailableError(`the npm package ${name} is not installed`, INSTALL);
    }
  }
  const {version} = require(`${PACKAGES[0]}/package.json`) as {version: string};
  if (isOlder(version))
    throw new DeviceUnavailableError(
      `the npm package webgpu is ${version}, wanted ${OLDEST.join('.')} or newer`,
      INSTALL,
    );
  const {create, globals} = await dawn();
  const gpu = create([]);
  const adapter = await gpu.requestAdapter({powerPreference: 'high-performance'}); // what the backend asks for
  if (!adapter) {
    throw new DeviceUnavailableError(
      `Dawn finds no GPU${hidden()}`,
      "install Vulkan's loader and the GPU's driver (Debian, Ubuntu: libvulkan1 and mesa-vulkan-drivers, or NVIDIA's own); " +
        '`vulkaninfo --summary` lists what there is',
    );
  }
  Object.assign(globalThis, globals);
  // Node 20 has no navigator, Node 21 one that takes no assignment.
  if (!('navigator' in globalThis))
    Object.defineProperty(globalThis, 'navigator', {value: {}, configurable: true, writable: true});
  Object.defineProperty(globalThis.navigator, 'gpu', {value: gpu, configurable: true});
  // The backend registers when it is loaded, if there is a navigator.gpu by then.
  require(PACKAGES[1]);
  const {vendor, architecture, description, isFallbackAdapter} = adapter.info ?? {};
  const name = description || [vendor, architecture].filter(Boolean).join(' ') || 'unnamed adapter';
  return isFallbackAdapter ? `${name}, no GPU but software` : name;
}

/** Whether a version of the package `webgpu` is too old to be used. */
export function isOlder(version: string): boolean {
  const parts = version.split('.').map((part) => Number.parseInt(part, 10));
  const differs = OLDEST.findIndex((wanted, i) => parts[i] !== wanted);
  return differs >= 0 && (parts[differs] ?? 0) < OLDEST[differs]!;
}

/** Names the variables that choose Vulkan's drivers, where they are set: a wrong path hides all drivers. */
function hidden(): string {
  const set = ['VK_DRIVER_FILES', 'VK_ICD_FILENAMES']
    .filter((name) => process.env[name])
    .map((name) => `${name}=${process.env[name]}`);
  return set.length > 0 ? ` with ${set.join(' and ')}` : '';
}

async function dawn(): Promise<Dawn> {
  const name: string = PACKAGES[0]; // not a literal: the package need not be there when this is compiled
  try {
    return (await import(name)) as Dawn;
  } catch (cause) {
    throw new DeviceUnavailableError(
      `Dawn does not load: ${cause instanceof Error ? cause.message.split('\n')[0] : String(cause)}`,
      INSTALL,
      cause,
    );
  }
}
