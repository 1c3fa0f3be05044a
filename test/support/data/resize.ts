import {centreSquare as centreSquareSteps} from '../../../src/data/centre-square.js';
import {type RgbImage, resizeBicubic as resizeBicubicSteps} from '../../../src/data/image.js';
import type {Steps} from '../../../src/runtime/steps.js';

// Resizing in one go.

export function resizeBicubic(...args: Parameters<typeof resizeBicubicSteps>): RgbImage {
  return finish(resizeBicubicSteps(...args));
}

export function centreSquare(...args: Parameters<typeof centreSquareSteps>): RgbImage {
  return finish(centreSquareSteps(...args));
}

function finish<T>(steps: Steps<T>): T {
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
  }
}
