import {parentPort} from 'node:worker_threads';
import {MueError} from '../../runtime/errors.js';
import type {DecodeReply, DecodeRequest} from './decode-elsewhere.js';
import {openPicture} from './decode-here.js';

// A thread that decodes one picture after the other: the code beside `decode-elsewhere.ts`.

async function answer({bytes, conversion}: DecodeRequest): Promise<DecodeReply> {
  try {
    return {image: await (await openPicture(bytes)).decode(conversion)};
  } catch (error) {
    const {code, hint} = error instanceof MueError ? error : {code: undefined, hint: undefined};
    return {error: {code, message: (error as Error).message, hint}};
  }
}

parentPort?.on('message', (request: DecodeRequest) => {
  void answer(request).then((reply) => {
    if (!('image' in reply)) return parentPort?.postMessage(reply);
    const {data, opened} = reply.image;
    const parts = [data, ...(typeof opened === 'object' ? [opened.alpha] : [])];
    parentPort?.postMessage(
      reply,
      parts.map(({buffer}) => buffer as ArrayBuffer),
    );
  });
});
