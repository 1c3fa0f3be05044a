import {readFile} from 'node:fs/promises';
import {createRequire} from 'node:module';

/** The exports of a @jsquash decoder's module. */
export interface CodecModule {
  readonly default: (
    bytes: ArrayBuffer,
    options?: {preserveOrientation?: boolean},
  ) => Promise<{width: number; height: number; data: Uint8ClampedArray}>;
  readonly init: (options: object) => Promise<void>;
}

/**
 * The number of pixels beyond which a picture takes its instance with it: WebAssembly memory can grow but never shrink.
 */
const LARGE = 16_000_000;

/** The most memory of a decoder, in bytes: a damaged picture may ask for more than its header makes plausible. */
const MAX_MEMORY = 750_000_000;
/** The bytes of a page of WebAssembly memory. */
const PAGE = 65_536;

/**
 * A picture decoder in WebAssembly. One instance serves all pictures, so memory does not grow with their number; it is
 * replaced after an error, which leaves its heap in an unknown state, and after a very large picture.
 */
export class WasmCodec {
  private readonly load: () => Promise<CodecModule>;
  private readonly wasmFile: string;
  private compiled: Promise<WebAssembly.Module> | undefined;
  private ready: Promise<CodecModule> | undefined;

  /**
   * @param load     imports the decoder's module
   * @param wasmFile its WebAssembly file as a module specifier, found where the package is installed, never fetched
   */
  constructor(load: () => Promise<CodecModule>, wasmFile: string) {
    this.load = load;
    this.wasmFile = wasmFile;
  }

  /**
   * @param bytes  the file's content, borrowed
   * @param pixels the number of pixels that its header announces
   * @returns height · width · 4 bytes, RGBA, 0..255
   * @throws the error of the decoder
   */
  async decode(bytes: Uint8Array, pixels: number): Promise<{width: number; height: number; data: Uint8ClampedArray}> {
    this.ready ??= this.start();
    const codec = await this.ready;
    try {
      // Turning is not the codec's business (its name for "turn by EXIF" is preserveOrientation).
      const picture = await codec.default(new Uint8Array(bytes).buffer, {preserveOrientation: false});
      if (pixels > LARGE) this.ready = undefined;
      return picture;
    } catch (error) {
      this.ready = undefined;
      throw error;
    }
  }

  private async start(): Promise<CodecModule> {
    this.compiled ??= readFile(createRequire(import.meta.url).resolve(this.wasmFile)).then((file) =>
      WebAssembly.compile(file),
    );
    const [codec, compiled] = await Promise.all([this.load(), this.compiled]);
    await codec.init({
      print: () => {},
      printErr: () => {},
      instantiateWasm: (imports: WebAssembly.Imports, done: (instance: WebAssembly.Instance) => void) => {
        const instance = new WebAssembly.Instance(compiled, imports);
        for (const memory of Object.values(instance.exports)) if (memory instanceof WebAssembly.Memory) bound(memory);
        done(instance);
        return instance.exports;
      },
    });
    return codec;
  }
}

/** Lets a memory grow to `MAX_MEMORY`; a decoder that wants more is told that there is none. */
function bound(memory: WebAssembly.Memory): void {
  const grow = memory.grow.bind(memory);
  memory.grow = (pages) => {
    if (memory.buffer.byteLength + pages * PAGE > MAX_MEMORY) throw new RangeError('the picture takes too much memory');
    return grow(pages);
  };
}

/** RGBA → RGB: drops alpha without compositing. */
export function dropAlpha(rgba: ArrayLike<number>): Uint8Array {
  const data = new Uint8Array((rgba.length / 4) * 3);
  for (let from = 0, to = 0; to < data.length; from += 4, to += 3) {
    data[to] = rgba[from]!;
    data[to + 1] = rgba[from + 1]!;
    data[to + 2] = rgba[from + 2]!;
  }
  return data;
}
