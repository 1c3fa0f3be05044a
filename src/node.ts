export {DEVICES} from './node/backends/devices.js';
export {selectBackend} from './node/backends/select.js';
export {decodeImage} from './node/picture/decode.js';
export {type LoadOptions, loadModel, SHIPPED_MODEL} from './node/model/load-model.js';
export {SHIPPED_MODELS, type ShippedModel} from './node/model/shipped-models.js';
