import {createRequire} from 'node:module';
import {Unavailable} from './unavailable.js';

type Dawn = {readonly globals: object; create(flags: readonly string[]): {requestAdapter(): Promise<Adapter | null>}};
type Adapter = {readonly info?: {readonly vendor?: string; readonly architecture?: string; readonly description?: string}};

const PACKAGES = ['webgpu', '@tensorflow/tfjs-backend-webgpu'] as const;
const INSTALL = 'npm i webgpu @tensorflow/tfjs-backend-webgpu@4.22.0';
const require = createRequire(import.meta.url);

/**
 * Brings WebGPU into Node (Dawn, from the npm package `webgpu`) and registers tfjs' backend for it. The two packages hold 150 MB
 * and run only where there is a GPU with a Vulkan, Metal or D3D12 driver: they are installed by whoever wants them.
 * @returns the adapter's name.
 * @throws Unavailable
 */
export async function registerWebgpu(): Promise<string> {
  for (const name of PACKAGES) {
    try {
      require.resolve(`${name}/package.json`);
    } catch {
      throw new Unavailable(`the npm package ${name} is not installed`, INSTALL);
    }
  }
  const {create, globals} = await dawn();
  const gpu = create([]);
  const adapter = await gpu.requestAdapter();
  if (!adapter) {
    throw new Unavailable(
      'Dawn finds no GPU',
      'install the GPU driver with Vulkan (Linux: libvulkan1 and an ICD; `vulkaninfo --summary` lists them)',
    );
  }
  Object.assign(globalThis, globals);
  // Node 20 has no navigator, Node 21 one that takes no assignment.
  if (!('navigator' in globalThis)) Object.defineProperty(globalThis, 'navigator', {value: {}, configurable: true, writable: true});
  Object.defineProperty(globalThis.navigator, 'gpu', {value: gpu, configurable: true});
  // The backend registers when it is loaded, if there is a navigator.gpu by then.
  require(PACKAGES[1]);
  const {vendor, architecture, description} = adapter.info ?? {};
  return description || [vendor, architecture].filter(Boolean).join(' ') || 'unnamed adapter';
}

async function dawn(): Promise<Dawn> {
  const name: string = PACKAGES[0]; // not a literal: the package need not be there when this is compiled
  try {
    return (await import(name)) as Dawn;
  } catch (cause) {
    throw new Unavailable(`Dawn does not load: ${cause instanceof Error ? cause.message.split('\n')[0] : String(cause)}`, INSTALL, cause);
  }
}
