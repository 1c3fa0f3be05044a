import {type RgbImage, resizeBicubic, type Window} from './image.js';

/**
 * Pillow's `Image.resize(…, BICUBIC)` of a picture that is not yet RGB: colours of a table cannot be mixed and are taken from the nearest
 * pixel; transparent ones count as much as they are seen. Bit for bit (coca.md section 5). Any other picture is resized as ever.
 * @returns a new picture, all RGB, or `image` itself if it is that already
 */
export function resizeOpened(image: RgbImage, width: number, height: number, window: Window): RgbImage {
  const {opened} = image;
  if (opened === undefined || (image.width === width && image.height === height))
    return resizeBicubic(image, width, height, window);
  if (opened === 'table') return nearest(image, width, height, window);
  const {alpha} = opened;
  const seen = resizeBicubic(
    {...image, data: image.data.map((c, i) => times(c, alpha[Math.floor(i / 3)]!))},
    width,
    height,
    window,
  );
  // As a grey picture: its three channels are one.
  const grey = Uint8Array.from({length: image.data.length}, (_, i) => alpha[Math.floor(i / 3)]!);
  const {data: left} = resizeBicubic({...image, data: grey}, width, height, window);
  return {width: seen.width, height: seen.height, data: seen.data.map((c, i) => divided(c, left[i]!))};
}

function nearest(
  {width: fromWidth, height: fromHeight, data: from}: RgbImage,
  width: number,
  height: number,
  window: Window,
): RgbImage {
  const data = new Uint8Array(window.width * window.height * 3);
  const source = (at: number, side: number, to: number): number => Math.floor((at + 0.5) * (side / to));
  let out = 0;
  for (let y = 0; y < window.height; y++) {
    const row = source(window.top + y, fromHeight, height) * fromWidth;
    for (let x = 0; x < window.width; x++) {
      const at = (row + source(window.left + x, fromWidth, width)) * 3;
      for (let c = 0; c < 3; c++) data[out++] = from[at + c]!;
    }
  }
  return {width: window.width, height: window.height, data};
}

/** c · alpha / 255, as Pillow's integers round it. */
function times(c: number, alpha: number): number {
  const product = c * alpha + 128;
  return ((product >> 8) + product) >> 8;
}

function divided(c: number, alpha: number): number {
  return alpha === 0 || alpha === 255 ? c : Math.min(255, Math.floor((255 * c) / alpha));
}
