export {DEVICES, selectBackend} from './node/backends.js';
export {decodeImage} from './node/image-decoder.js';
export {type LoadOptions, loadModel, SHIPPED_MODEL} from './node/load-model.js';
