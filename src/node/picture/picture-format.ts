import type {RgbImage} from '../../data/image.js';
import type {Orientation} from './exif.js';

/** What a picture's header says, read without decoding and without allocating for its pixels. */
export interface PictureHeader {
  readonly width: number;
  readonly height: number;
  readonly orientation: Orientation;
}

/** One file format. */
export interface PictureFormat<Header extends PictureHeader = PictureHeader> {
  readonly name: string;
  /** @throws InputError `image-corrupt` or `image-format`. */
  inspect(bytes: Uint8Array): Header;
  /** The whole picture as Pillow's `convert('RGB')` gives it; an animation's first frame. */
  decode(bytes: Uint8Array, header: Header): RgbImage | Promise<RgbImage>;
  /** The same with what the picture was before, if it was not RGB. */
  decodeOpened?(bytes: Uint8Array, header: Header): Promise<RgbImage>;
}
